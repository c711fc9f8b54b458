from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from harness.adapters.adapter import Adapter
from harness.adapters.adapter_file import AdapterFile
from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import Case
from harness.cases.dimensions import base_types, no_adapter, sequences, single_file_case
from harness.cases.fixture import NO_BLOCKS, Fixture
from harness.cases.malformed_file_case import MalformedFileCase, malformed_file_cases
from harness.converter import family_choice
from harness.converter.modules import layout_of
from harness.formats.read import read_tensors
from harness.malformed import corpus, unusual
from harness.models.families.catalogue import FAMILIES
from harness.models.tiny_models import FLUX_SMALL
from harness.records.record import Cell, Side
from harness.records.verdict import Status, Verdict
from harness.studies.conversion import twins
from harness.studies.conversion.twins import NO_TWIN, ConvertedFile
from sdcpp.binding.build_folder import Build
from sdcpp.errors import FileInvalid

FLOATS = ("safetensors", "F32")
FIXTURE = Fixture(base=FLUX_SMALL, block_quantiser=NO_BLOCKS)
RANK_1 = Adapter(name="lora-r1", base=FLUX_SMALL.name, rank=1, alpha=0.5)
SIDE = Side(
    label="2026-05 pristine",
    revision="2026-05",
    patched=False,
    backend="cpu",
    identity="x",
    build={},
    device="",
    driver="",
    bases={},
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SDCPP_CACHE", str(tmp_path / "cache"))
    return tmp_path


def build(*cases: Case | MalformedFileCase) -> BuildUnderTest:
    made = Build(
        identity="x",
        folder=Path(),
        library=Path(),
        header=Path(),
        record={"patches": [], "revision": "2026-05"},
    )
    return BuildUnderTest(side=SIDE, build=made, cases=cases, repeat="")


def rank_1(mode: str) -> Case:
    case = single_file_case(FIXTURE, mode, RANK_1, "safetensors", "F32")
    return replace(case, name=f"lora-r1-{case.name}")


def other_scheme(mode: str) -> Case:
    adapter = Adapter(name="lora-r1-other", base=FLUX_SMALL.name, rank=1, alpha=0.25)
    return replace(single_file_case(FIXTURE, mode, adapter, "safetensors", "F32"), name="lora-r1-other")


def missing(case: Case | MalformedFileCase) -> str:
    return case.missing if isinstance(case, Case) else ""


def test_a_cell_that_fails_has_a_twin_with_the_converted_file(folder: Path) -> None:
    (passing,) = no_adapter(FIXTURE, "immediately")
    (twin,) = twins.twins(build(passing, rank_1("immediately")), folder / "files").cases
    assert twin.name == rank_1("immediately").name
    assert isinstance(twin, Case)
    assert not twin.missing
    ((use,),) = twin.shot.sequence
    assert use.file.path.is_file()
    assert use.file.path.is_relative_to(folder / "files" / "2026-05")
    original = rank_1("immediately").shot.sequence[0][0].file
    assert isinstance(original, AdapterFile)
    assert use.file.path.stem == original.path.stem
    assert isinstance(use.file, ConvertedFile)
    assert use.file.digest == hashlib.sha256(use.file.path.read_bytes()).hexdigest()
    assert twin.shot.name != rank_1("immediately").shot.name
    assert twin.wanted == rank_1("immediately").wanted


def test_another_converted_file_is_another_picture() -> None:
    """Otherwise an interrupted run would go on with the pictures of an older converter."""
    one, other = (ConvertedFile(path=Path("a.safetensors"), digest=digit * 64) for digit in "12")
    assert one.name != other.name


def test_files_are_converted_in_forks_and_refusals_come_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, *_: object, **__: object) -> None:
        raise FileInvalid("2 modules cannot be written; a, b: no name reaches it", source, "merge it")

    monkeypatch.setattr(twins, "cores", lambda: 3)
    monkeypatch.setattr(twins, "convert", refuse)
    cases = [rank_1("immediately"), rank_1("at_runtime"), other_scheme("immediately")]
    found = twins.twins(build(*cases), folder / "files")
    assert [missing(case) for case in found.cases] == [f"{NO_TWIN}no name reaches it"] * 3
    assert not found.supported


def test_names_that_fit_several_families_are_converted_with_the_base_model(folder: Path) -> None:
    base = FAMILIES["sd3"]
    adapter = Adapter(name="lora", base=base.name, rank=2, alpha=1.0, scheme="diffusers", targets=("outer",))
    case = single_file_case(Fixture(base=base, block_quantiser=NO_BLOCKS), "immediately", adapter, *FLOATS)
    assert isinstance(case, Case)
    ((stored,),) = case.shot.sequence
    assert len(family_choice.candidates(layout_of(read_tensors(stored.file.make())))) > 1
    (twin,) = twins.twins(
        replace(build(case), side=replace(SIDE, revision="2026-07")), folder / "files"
    ).cases
    assert not missing(twin)
    ((use,),) = twin.shot.sequence
    names = read_tensors(use.file.path).tensors
    assert "diffusion_model.final_layer.adaLN_modulation.1.lora_up.weight" in names


def test_cells_that_do_not_depend_on_the_file_have_none(folder: Path) -> None:
    of_list = [case for case in sequences(FIXTURE, "at_runtime") if case.name == "A-twice"]
    of_base = [case for case in base_types(FIXTURE, "immediately") if case.name.startswith("base-Q8_0-")]
    found = twins.twins(build(*of_list, *of_base), folder / "files")
    assert {case.name: missing(case) for case in found.cases} == {
        "A-twice": f"{NO_TWIN}the defect does not depend on the file: the list of adapters names a file twice",
        **{
            f"base-Q8_0-{file}": f"{NO_TWIN}the defect does not depend on the file: the type of the base model"
            for file in ("safetensors-F16", "gguf-Q8_0")
        },
    }


def test_a_valid_unusual_file_has_a_twin_and_a_malformed_one_has_none(folder: Path) -> None:
    recipes = [
        recipe
        for recipe in (*unusual.variants(FLUX_SMALL), *corpus.corpus(FLUX_SMALL))
        if recipe.name in ("variant-safetensors-unknown-tensor-of-bool", "gguf-up-empty")
    ]
    assert len(recipes) == 2
    cases = malformed_file_cases(FLUX_SMALL, ["at_runtime"], recipes, any_suffix=True)
    found = twins.twins(build(*cases), folder / "files")
    assert {case.name: missing(case) for case in found.cases} == {
        "variant-safetensors-unknown-tensor-of-bool": "",
        "gguf-up-empty": f"{NO_TWIN}a malformed file",
    }


def cell(name: str, verdict: Verdict, evidence: str = "") -> Cell:
    dimensions = {"base": "flux-small", "mode": "auto"}
    return Cell(
        side=SIDE.label,
        case=name,
        dimensions=dimensions,
        verdict=verdict,
        status=Status.PASS,
        evidence=evidence,
    )


def test_the_report_counts_twins_failures_and_reasons() -> None:
    cells = [
        cell("a", Verdict.PASS),
        cell("b", Verdict.WRONG),
        *(cell(name, Verdict.UNJUDGED, f"{NO_TWIN}a malformed file") for name in "cd"),
        cell("e", Verdict.UNJUDGED, "the base model makes no picture"),
    ]
    assert list(twins.report(SIDE.label, cells)) == [
        "2026-05 pristine: 3 twins, 1 passed, 2 failing cells without a twin",
        "  flux-small b@auto: WRONG",
        "  flux-small e@auto: UNJUDGED",
        "  no twin: 2 cells: a malformed file",
    ]
    assert list(twins.report("another", cells)) == [
        "another: 0 twins, 0 passed, 0 failing cells without a twin"
    ]
