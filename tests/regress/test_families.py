"""Small base models of the model families in a really built library."""

from __future__ import annotations

import pytest

from harness.cases.families import with_bases
from harness.cases.fixture import BlockQuantiser
from harness.models.families.catalogue import FAMILIES as ALL_MODELS
from harness.records.record import Cell
from harness.records.verdict import Status, Verdict
from harness.verification.run import run_sides
from harness.verification.sides import RunSpec, build_sides
from sdcpp.patching import series
from sdcpp.source import revision
from tests.regress.conftest import PATIENT

pytestmark = PATIENT

#: The models whose text encoders have constant sizes take too long here.
MODELS = {
    name: base
    for name, base in ALL_MODELS.items()
    if not name.startswith("sd1-") and name not in ("sd2", "sdxl")
}
#: A LoRA with the names of the original checkpoint, as floats and with kohya's names as Q8_0.
CASES = ["none@immediately", "lora-peft-safetensors-F32@*", "gguf-Q8_0@immediately"]


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
    # The library removes a word from names of Boogu-Image: see docs/findings.md.
    assert {cell.dimensions["base"] for cell in own if cell.verdict is not Verdict.PASS} == {"boogu-image"}
    assert {cell.status for cell in own} <= {Status.PASS, Status.XFAIL}


def test_what_kohyas_names_lead_to_is_known(cells: list[Cell]) -> None:
    kohya = [cell for cell in cells if cell.case == "gguf-Q8_0"]
    assert {cell.dimensions["base"] for cell in kohya} == set(MODELS)
    assert {cell.status for cell in kohya} <= {Status.PASS, Status.XFAIL}
    assert Verdict.PASS in {cell.verdict for cell in kohya}
