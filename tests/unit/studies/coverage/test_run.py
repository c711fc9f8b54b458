"""The study on the fake library, which is built with gcov from a source tree like upstream's."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.studies.coverage import reach
from harness.studies.coverage.measurement import Measurement
from harness.studies.coverage.parts import Part, Source
from harness.studies.coverage.run import CoverageRun
from harness.verification.run import RECORDS
from sdcpp import cache
from sdcpp.source import revision
from sdcpp.source.revision import Revision
from tests.unit import fakelib
from tests.unit.fake_matrix import CELLS, MATRIX

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("gcov") is None, reason="the study needs gcc and gcov on Linux"
)
PARTS = (
    Part(name="fake", sources=(Source(files=("fake.c",), but=("main",)),)),
    Part(name="other", sources=(Source(files=("src/lora.hpp",)),)),
)


@pytest.fixture(scope="module")
def fake_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakelib.tree(tmp_path_factory.mktemp("upstream") / "tree")


@pytest.fixture
def fake(tree: Path, fake_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Revision:
    monkeypatch.setenv(cache.VARIABLE, str(fake_cache))
    return revision.from_folder(tree)


@pytest.fixture
def study(tmp_path: Path) -> CoverageRun:
    return CoverageRun(
        matrix=MATRIX,
        select=(),
        folder=tmp_path,
        command=("sdcpp", "study", "coverage"),
        jobs=2,
        parts=PARTS,
    )


def functions_run(found: Measurement) -> set[str]:
    return {entry.function for entry in found.functions if entry.lines.run}


def test_what_the_copies_of_workers_have_reached_is_counted(study: CoverageRun, fake: Revision) -> None:
    found, records = study.measure(fake, "pristine")
    assert found.label == "local pristine"
    assert found.command == "sdcpp study coverage"
    assert found.compiler.startswith("GNU")
    assert sum(found.verdicts.values()) == len(records.cells) == 2 * CELLS
    # The worker opens the base model, and its copy makes the picture.
    assert {"new_sd_ctx", "generate_image"} <= functions_run(found)
    assert {entry.part for entry in found.functions} == {"fake"}
    assert any(line.text for line in found.missed)


def test_a_killed_run_goes_on_and_keeps_what_it_has_counted(study: CoverageRun, fake: Revision) -> None:
    first, _ = study.measure(fake, "pristine")
    [path] = study.folder.glob(f"*/{RECORDS}")
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    before_judging = [line for line in lines if json.loads(line)["record"] not in ("cell", "end")]
    path.write_text("".join(before_judging[:-4]), encoding="utf-8")
    again, records = study.measure(fake, "pristine")
    assert functions_run(again) == functions_run(first)
    assert len(records.cells) == 2 * CELLS
    # A finished run is not run again, and one of other cases does not add its counters.
    assert study.measure(fake, "pristine")[0] == again
    other = replace(study, select=("adapter-1",)).measure(fake, "pristine")[0]
    assert sum(other.verdicts.values()) == 4
    assert len(list(study.folder.iterdir())) == 2


def test_a_restart_forgets_the_counters(study: CoverageRun, fake: Revision) -> None:
    study.measure(fake, "pristine")
    [folder] = study.folder.iterdir()
    (folder / "mark").touch()
    replace(study, restart=True).measure(fake, "pristine")
    assert not (folder / "mark").exists()


def test_each_case_reaches_lines_of_its_own(study: CoverageRun, fake: Revision, tmp_path: Path) -> None:
    found = study.reach(fake, "pristine")
    assert len(found.cases) == 2 * CELLS
    [file] = found.lines
    users = {number: len(cases) for number, cases in found.lines[file].items()}
    # Opening counts for all cases, a generation for those with an adapter, and other lines for none.
    assert set(users.values()) >= {0, 2 * CELLS}
    assert any(0 < count < 2 * CELLS for count in users.values())
    everywhere = next(number for number, count in users.items() if count == 2 * CELLS)
    assert found.cases_of(file, everywhere) == set(found.cases)
    assert reach.read(found.write(tmp_path / "reach.json")) == found
