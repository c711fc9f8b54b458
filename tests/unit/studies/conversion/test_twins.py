from __future__ import annotations

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
from harness.malformed import corpus, unusual
from harness.models.tiny_models import FLUX_SMALL
from harness.records.record import Side
from harness.records.verdict import Verdict
from harness.studies.conversion import twins
from harness.studies.conversion.twins import NotConvertible, Twins
from sdcpp import cache
from sdcpp.binding.build_folder import Build

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


def test_a_cell_that_fails_has_a_twin_with_the_converted_file(folder: Path) -> None:
    (passing,) = no_adapter(FIXTURE, "immediately")
    found = twins.twins(build(passing, rank_1("immediately")), folder / "files")
    (twin,) = found.build.cases
    assert twin.name == "twin of lora_r1_safetensors_F32"
    assert isinstance(twin, Case)
    ((use,),) = twin.shot.sequence
    assert use.file.path.is_file()
    assert use.file.path.is_relative_to(folder / "files" / "2026-05")
    original = rank_1("immediately").shot.sequence[0][0].file
    assert isinstance(original, AdapterFile)
    assert use.file.path.stem == original.path.stem
    assert twin.wanted == rank_1("immediately").wanted
    assert not found.without


def test_cells_that_do_not_depend_on_the_file_have_none(folder: Path) -> None:
    of_list = [case for case in sequences(FIXTURE, "at_runtime") if case.name == "A-twice"]
    of_base = [case for case in base_types(FIXTURE, "immediately") if case.name.startswith("base-Q8_0-")]
    found = twins.twins(build(*of_list, *of_base), folder / "files")
    assert not found.build.cases
    assert {each.case: each.reason for each in found.without} == {
        "flux-small/A-twice@at_runtime": "the defect does not depend on the file: the list of adapters names a file "
        "twice",
        **{
            f"flux-small/base-Q8_0-{file}@immediately": "the defect does not depend on the file: the type of the "
            "base model"
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
    assert [case.name for case in found.build.cases] == ["twin of variant_safetensors_unknown_tensor_of_bool"]
    assert [each.reason for each in found.without] == ["a malformed file"]


def test_the_report_counts_twins_and_reasons(folder: Path) -> None:
    assert cache.root() == folder / "cache"
    found = Twins(
        build=build(),
        without=[NotConvertible(case=f"x/{n}@auto", verdict=Verdict.ABORT, reason="no") for n in range(2)],
    )
    assert list(twins.report([found], [])) == [
        "2026-05 pristine: 0 twins, 0 passed, 2 failing cells without a twin",
        "  no twin: 2 cells: no",
    ]
