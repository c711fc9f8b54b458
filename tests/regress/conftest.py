"""Real libraries, built once for all tests and kept in the project's cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.fixture import BlockQuantiser
from harness.cases.matrix import QUICK
from harness.records.record import Cell, Records
from harness.verification.run import run_sides
from harness.verification.sides import RunSpec, build_sides
from sdcpp.patching import series
from sdcpp.source import revision

#: What is run of each revision: the whole of the newest, the story of the extension check of the older one.
SELECTED = {
    "2025-12": ["none", "safetensors-F16", "gguf-F32", "gguf-F16", "gguf-BF16", "gguf-Q8_0"],
    "2026-05": [],
}
Find = Callable[[str, str, str], Cell]
#: The first test of a module may have to wait for the builds, however slow the machine.
PATIENT = pytest.mark.timeout(3600)


@pytest.fixture(scope="session")
def builds_under_test() -> list[BuildUnderTest]:
    """Both named revisions, pristine and patched, on the CPU."""
    return [
        build_under_test
        for name, patterns in SELECTED.items()
        for build_under_test in build_sides(
            revision.find(name), series.load(), RunSpec(matrix=QUICK, select=patterns), BlockQuantiser()
        )
    ]


@pytest.fixture(scope="session")
def records(builds_under_test: list[BuildUnderTest], tmp_path_factory: pytest.TempPathFactory) -> Records:
    """The records of one run of all selected cases."""
    folder: Path = tmp_path_factory.mktemp("verify")
    return run_sides(builds_under_test, folder, title="regression tests", command="nox -s tests", jobs=None)


@pytest.fixture(scope="session")
def cell(records: Records) -> Find:
    """Return the cell of a side, a case and a mode."""
    cells = {(c.side, c.case, c.dimensions["mode"]): c for c in records.cells}
    return lambda side, case, mode: cells[side, case, mode]
