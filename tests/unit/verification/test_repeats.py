"""Runs with the fake library, in which an adapter takes turns: it may change the picture, or end the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cases.build_under_test import BuildUnderTest
from harness.judging import unjudged
from harness.records import record
from harness.records.change import ChangeKind
from harness.records.record import Cell, Records
from harness.records.verdict import Status, Verdict
from harness.reports import before_after, write
from harness.reports.before_after import Change
from harness.reports.table import arrange
from harness.verification import repeats
from harness.verification.run import RECORDS, run_sides
from sdcpp.binding.build_folder import Build
from tests.unit import fake_matrix, killable_repeats

pytestmark = pytest.mark.usefixtures("cache_folder")

Builds = Callable[..., Build]
#: What the report on a change needs to know of it.
PROPOSAL = {"local": {"before": "a", "after": "b", "commits": [], "uncommitted": [], "files": [], "same": 0}}
#: The adapter that takes turns.
CASE = "adapter-1"
#: The pictures in all runs of one case: the first and its repeats.
RUNS = 1 + repeats.REPEATS


@pytest.fixture
def side(fake_build: Builds, tmp_path: Path) -> Callable[..., BuildUnderTest]:
    """Return a function that returns a side of a change whose library takes turns; it has the cases of one mode."""

    def get(label: str, turns: str) -> BuildUnderTest:
        build = fake_build(
            "C",
            revision="local",
            identity=f"{label} {turns} {tmp_path.name}".ljust(64, "0"),
            turns=f"lora-1-:{turns}:{tmp_path / label}",
        )
        found = fake_matrix.side(build, label, patched=label == "after")
        cases = [case for case in found.cases if case.dimensions["mode"] == "at_runtime"]
        return replace(found, cases=[case for case in cases if case.dimensions["base"] == "small"])

    return get


def compare(folder: Path, before: BuildUnderTest, after: BuildUnderTest, *, proposed: bool = True) -> Records:
    """Run both sides as those of a change, or as a pristine and a patched side."""
    sides = [replace(side, baseline=before.side.label if proposed else "") for side in (before, after)]
    return run_sides(
        sides,
        folder,
        title="a change",
        command="none",
        jobs=2,
        repeats=True,
        proposal=PROPOSAL if proposed else None,
    )


def the_change(records: Records) -> tuple[Change, Cell, Cell]:
    """Return the change of CASE with its two cells."""
    table = arrange(records)
    [pair] = before_after.pairs(table)
    [found] = [one for one in before_after.changes(table, pair) if one.row.label == CASE]
    assert found.before
    assert found.after
    return found, found.before, found.after


def counts(records: Records, label: str) -> dict[str, int]:
    """Return how often each shot was repeated on a side, for the shots that were."""
    found: dict[str, int] = {}
    for identity, shot, _ in records.repeats:
        if identity == records.sides[label].identity:
            found[shot] = found.get(shot, 0) + 1
    return found


@pytest.mark.parametrize("proposed", [True, False])
def test_a_regression_that_all_repeats_show_stays_one(
    side: Callable[..., BuildUnderTest], tmp_path: Path, *, proposed: bool
) -> None:
    records = compare(tmp_path / "run", side("before", "0"), side("after", "1"), proposed=proposed)
    change, before, after = the_change(records)
    assert change.kind is ChangeKind.REGRESSED
    assert (before.verdict, after.verdict) == (Verdict.PASS, Verdict.WRONG)
    assert records.failing == [after]
    # The case's own picture and the one that it is compared with, on both sides.
    for label in ("local before", "local after"):
        assert list(counts(records, label).values()) == [repeats.REPEATS] * 2


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        ("10", "2 runs of the same build differ: WRONG in 1, PASS in 1, 2 different pictures"),
        ("1110", f"{RUNS} runs of the same build differ: WRONG in 3, PASS in 1, 2 different pictures"),
        ("9990", f"{RUNS} runs of the same build differ: ABORT in 3, PASS in 1"),
        ("123", "2 runs of the same build differ: WRONG in 2, 2 different pictures"),
    ],
)
def test_what_differs_on_one_build_is_unstable_and_fails_nothing(
    side: Callable[..., BuildUnderTest], tmp_path: Path, turns: str, said: str
) -> None:
    records = compare(tmp_path / "run", side("before", "0"), side("after", turns))
    change, before, after = the_change(records)
    assert change.kind is ChangeKind.UNSTABLE
    assert before.verdict is Verdict.PASS
    assert (after.verdict, after.status, after.evidence) == (Verdict.UNSTABLE, Status.SKIPPED, said)
    assert not records.failing
    assert not unjudged.complaints(records.cells)


def test_a_side_before_that_differs_makes_no_regression_either(
    side: Callable[..., BuildUnderTest], tmp_path: Path
) -> None:
    records = compare(tmp_path / "run", side("before", "01"), side("after", "1"))
    change, before, after = the_change(records)
    assert change.kind is ChangeKind.UNSTABLE
    assert before.verdict is Verdict.UNSTABLE
    assert (after.verdict, after.status, after.reason) == (
        Verdict.WRONG,
        Status.SKIPPED,
        "unstable without the change",
    )
    assert not records.failing


def test_a_fix_that_does_not_hold_is_none(side: Callable[..., BuildUnderTest], tmp_path: Path) -> None:
    lasting = compare(tmp_path / "lasting", side("before", "1"), side("after", "0"))
    assert the_change(lasting)[0].kind is ChangeKind.FIXED
    assert set(counts(lasting, "local after").values()) == {repeats.REPEATS_OF_A_CHANGE}
    (tmp_path / "after").unlink()  # the count of the turns
    records = compare(tmp_path / "passing", side("before", "1"), side("after", "01"))
    assert the_change(records)[0].kind is ChangeKind.UNSTABLE


def test_nothing_is_repeated_if_nothing_is_doubtful(
    side: Callable[..., BuildUnderTest], tmp_path: Path
) -> None:
    assert not compare(tmp_path / "same", side("before", "0"), side("after", "0")).repeats
    # A failure on both sides is no change.
    assert not compare(tmp_path / "bad", side("before", "2"), side("after", "2")).repeats


def test_reports_list_unstable_cells_apart(side: Callable[..., BuildUnderTest], tmp_path: Path) -> None:
    for proposed in (True, False):
        folder = tmp_path / f"run {proposed}"
        folder.mkdir()
        (tmp_path / "after").unlink(missing_ok=True)
        records = compare(folder, side("before", "0"), side("after", "10"), proposed=proposed)
        write.write(records, folder)
        said = "2 runs of the same build differ: WRONG in 1, PASS in 1"
        markdown = (folder / "report.md").read_text(encoding="utf-8")
        assert "Unstable cells, which count neither as fixed nor as regressed:" in markdown
        assert f"`{CASE}@at_runtime`" in markdown
        assert said in markdown
        page = (folder / "report.html").read_text(encoding="utf-8")
        assert '<h2 id="unstable">Unstable cells</h2>' in page
        assert said in page
        suites = ET.parse(folder / "junit.xml").getroot()  # noqa: S314 - our own
        assert (suites.get("failures"), suites.get("errors")) == ("0", "0")
        [skipped] = suites.findall(".//skipped")
        assert (skipped.get("message") or "").startswith(f"UNSTABLE: {said}")


def test_a_run_that_is_judged_again_has_its_repeats(
    side: Callable[..., BuildUnderTest], tmp_path: Path
) -> None:
    sides = [replace(one, baseline="local before") for one in (side("before", "0"), side("after", "10"))]

    def run(*, reuse: bool) -> Records:
        return run_sides(
            sides, tmp_path, title="", command="", jobs=1, repeats=True, reuse=reuse, proposal=PROPOSAL
        )

    first = run(reuse=False)
    again = run(reuse=True)
    assert again.repeats == first.repeats
    assert again.cells == first.cells
    assert the_change(again)[0].kind is ChangeKind.UNSTABLE


def test_a_run_that_was_killed_while_it_repeated_goes_on(
    side: Callable[..., BuildUnderTest], tmp_path: Path
) -> None:
    made = [side("before", "0").build, side("after", "1").build]
    whole = killable_repeats.run(tmp_path / "whole", *made)
    folder = tmp_path / "killed"
    path = folder / RECORDS
    words: list[str | Path] = [sys.executable, "-m", "tests.unit.killable_repeats", folder]
    words += [build.folder for build in made]
    process = subprocess.Popen(words)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if path.exists() and path.read_bytes().count(b'"record":"repeat"') >= 2:
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.002)
    process.wait()
    torn = path.read_bytes()
    done = torn.count(b'"record":"repeat"')
    assert done >= 2
    assert b'"record":"cell"' not in torn, "it ended before it was killed"
    again = killable_repeats.run(folder, *made)
    lines = path.read_bytes().count(b'"record":"repeat"')
    assert lines == len(whole.repeats) == len(again.repeats) > done, "repeats that were there have run again"
    assert [(cell.side, cell.case, cell.verdict, cell.status) for cell in again.cells] == [
        (cell.side, cell.case, cell.verdict, cell.status) for cell in whole.cells
    ]
    assert record.read(path).repeats.keys() == whole.repeats.keys()


def test_records_of_an_earlier_version_have_no_repeats(
    side: Callable[..., BuildUnderTest], tmp_path: Path
) -> None:
    run_sides([side("before", "1")], tmp_path, title="", command="", jobs=1, repeats=False)
    assert b'"record":"repeat"' not in (tmp_path / RECORDS).read_bytes()
    assert record.read(tmp_path / RECORDS).repeats == {}


def test_a_side_alone_is_repeated_where_it_fails(side: Callable[..., BuildUnderTest], tmp_path: Path) -> None:
    records = run_sides([side("before", "10")], tmp_path, title="", command="", jobs=1, repeats=True)
    assert [cell.case for cell in records.cells if cell.verdict is Verdict.UNSTABLE] == [CASE]
    assert not records.failing


def test_a_base_model_that_makes_no_picture_is_not_tried_again_for_each_case(
    fake_build: Builds, tmp_path: Path
) -> None:
    closed = fake_build("C", revision="local", identity="c" * 64, open_fails="small-")
    sides = [
        fake_matrix.side(fake_build("C", revision="local", identity="o" * 64), "before", patched=False),
        fake_matrix.side(closed, "after", patched=True),
    ]
    records = compare(tmp_path, *sides)
    repeated = {shot for _, shot, _ in records.repeats}
    assert repeated
    assert all(shot.endswith("/none") for shot in repeated)
