"""Real libraries, built once for all tests and kept in the project's cache, and one run of most cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.fixture import BlockQuantiser
from harness.cases.matrix import QUICK, CaseSource
from harness.models.tiny_models import FLUX_THIN, SD1_THIN
from harness.records.record import Cell, Records
from harness.verification.run import run_sides
from harness.verification.sides import RunSpec, build_sides
from sdcpp.patching import series
from sdcpp.patching.patch_file import Patch
from sdcpp.source import revision

#: The cases without an adapter and with a float adapter. A patch must not change their pictures.
FLOATS = ("none", "safetensors-F32", "safetensors-F16", "ckpt-F16", "gguf-F32", "gguf-F16", "gguf-BF16")
#: What is run of each revision: the whole of 2026-05, the story of the extension check of the older one.
SELECTED = {"2025-12": (*FLOATS, "gguf-Q8_0"), "2026-05": (), "2026-07": FLOATS}
#: The quick matrix on the base models of the full one, which need less work for each picture.
MATRIX = replace(QUICK, bases={"B": (SD1_THIN,), "C": (FLUX_THIN,)})
#: The side of 2025-12 that has only the patch by which it finds GGUF files. Without it no other case could be judged.
BEFORE = "before"
Find = Callable[[str, str, str], Cell]
#: The first test of a module may have to wait for the builds, however slow the machine.
PATIENT = pytest.mark.timeout(3600)


def finding_gguf() -> list[Patch]:
    """Return the patch of the side BEFORE."""
    return [patch for patch in series.load() if patch.name == "lora-find-gguf"]


def built_side(
    name: str, label: str, patches: Sequence[Patch], matrix: CaseSource, select: Sequence[str]
) -> BuildUnderTest:
    """Build a revision with those of the patches that are for it, and return it as a side with the cases selected."""
    spec = RunSpec(matrix=matrix, select=select, sides=["patched"])
    (made,) = build_sides(revision.find(name), patches, spec, BlockQuantiser())
    return replace(made, side=replace(made.side, label=f"{name} {label}"))


def both_sides(name: str) -> list[BuildUnderTest]:
    """Build a revision, pristine and patched, for the CPU, with the cases of SELECTED."""
    spec = RunSpec(matrix=MATRIX, select=SELECTED[name])
    return build_sides(revision.find(name), series.load(), spec, BlockQuantiser())


@pytest.fixture(scope="session")
def builds_under_test() -> list[BuildUnderTest]:
    """Two named revisions, pristine and patched, on the CPU."""
    return [*both_sides("2025-12"), *both_sides("2026-05")]


@pytest.fixture(scope="session")
def records(builds_under_test: list[BuildUnderTest], tmp_path_factory: pytest.TempPathFactory) -> Records:
    """The records of one run of all selected cases."""
    folder: Path = tmp_path_factory.mktemp("verify")
    before = built_side("2025-12", BEFORE, finding_gguf(), MATRIX, FLOATS)
    builds = [*builds_under_test, before, *both_sides("2026-07")]
    return run_sides(builds, folder, title="regression tests", command="nox -s tests", jobs=None)


@pytest.fixture(scope="session")
def cell(records: Records) -> Find:
    """Return the cell of a side, a case and a mode."""
    cells = {(c.side, c.case, c.dimensions["mode"]): c for c in records.cells}
    return lambda side, case, mode: cells[side, case, mode]
