"""Small base models of the model families in a really built library."""

from __future__ import annotations

import pytest

from harness.cases.families import with_bases
from harness.cases.fixture import BlockQuantiser
from harness.models.families.catalogue import FAMILIES as ALL_MODELS
from harness.models.families.catalogue import RELATIVES
from harness.records.record import Cell
from harness.records.verdict import Status, Verdict
from harness.verification.run import run_sides
from harness.verification.sides import RunSpec, build_sides
from sdcpp.patching import series
from sdcpp.source import revision
from tests.regress.conftest import PATIENT

pytestmark = PATIENT

#: The base models of which a picture takes two cores more than five seconds, or gigabytes of memory.
SLOW = frozenset(
    {"anima", "chroma", "chroma-radiance", "hunyuan-video", "longcat-image", "pid", "qwen-image", "wan"}
    | {name for name, base in ALL_MODELS.items() if base.demand is not None}
)
#: Left out are also those that differ from others in the number of input channels or of blocks only. ``nox -s verify --
#: --matrix families`` runs all.
LEFT_OUT = SLOW | RELATIVES | {"flux-fill", "sd1-narrow", "sd1-inpaint", "sd2", "sdxl", "sd3-all"}
MODELS = {name: base for name, base in ALL_MODELS.items() if name not in LEFT_OUT}
#: A LoRA with the names of the original checkpoint, as floats and with kohya's names as Q8_0, and with kohya's names
#: while the model edits a picture.
CASES = ["none@immediately", "lora-peft-safetensors-F32@*", "gguf-Q8_0@immediately", "reference@*"]


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Cell]:
    spec = RunSpec(matrix=with_bases(MODELS), select=CASES, sides=("patched",))
    builds = build_sides(revision.find("2026-07"), series.load(), spec, BlockQuantiser())
    return run_sides(
        builds, tmp_path_factory.mktemp("families"), title="families", command="nox -s tests", jobs=None
    ).cells


def test_every_family_makes_pictures(cells: list[Cell]) -> None:
    plain = [cell for cell in cells if cell.case == "none"]
    assert {cell.dimensions["base"] for cell in plain} == set(MODELS)
    assert {cell.verdict for cell in plain} == {Verdict.PASS}


def test_a_lora_with_the_names_of_the_original_is_applied(cells: list[Cell]) -> None:
    own = [cell for cell in cells if cell.case == "lora-peft-safetensors-F32"]
    assert {cell.dimensions["base"] for cell in own} == set(MODELS)
    assert {cell.verdict for cell in own} == {Verdict.PASS}
    assert {cell.status for cell in own} == {Status.PASS}


def test_a_quantised_lora_with_kohyas_names_is_applied(cells: list[Cell]) -> None:
    kohya = [cell for cell in cells if cell.case == "gguf-Q8_0"]
    assert {cell.dimensions["base"] for cell in kohya} == set(MODELS)
    assert {cell.verdict for cell in kohya} == {Verdict.PASS}
    assert {cell.status for cell in kohya} == {Status.PASS}


def test_a_lora_is_applied_while_the_model_edits_a_reference_picture(cells: list[Cell]) -> None:
    edited = [cell for cell in cells if cell.case == "reference"]
    assert {cell.dimensions["base"] for cell in edited} == {"flux-guided", "flux2-klein", "boogu-image"}
    assert {cell.verdict for cell in edited} == {Verdict.PASS}
    # The model sees the reference picture: without it the picture is another one.
    plain = {cell.dimensions["base"]: cell.pictures["without"] for cell in cells if cell.case == "gguf-Q8_0"}
    for cell in edited:
        assert cell.pictures["without"] != plain[cell.dimensions["base"]]
