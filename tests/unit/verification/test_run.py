from __future__ import annotations

import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.records.record import Records
from harness.records.verdict import Verdict
from harness.verification.run import run_sides
from sdcpp.binding.build_folder import Build
from sdcpp.errors import NothingTried
from tests.unit import killable_run

pytestmark = pytest.mark.usefixtures("cache_folder")


def judgement(records: Records) -> list[dict[str, Any]]:
    """All that a report says except how long things took."""
    cells = [dataclasses.asdict(cell) for cell in records.cells]
    for cell in cells:
        del cell["seconds"], cell["memory"], cell["applying"]
    return cells


def test_cells_come_from_what_was_seen(fake_build: Callable[..., Build], tmp_path: Path) -> None:
    records = killable_run.run(tmp_path / "run", fake_build("C"))
    verdicts = {cell.case: cell.verdict for cell in records.cells}
    assert verdicts["times-0"] is Verdict.PASS
    assert verdicts["times-1"] is Verdict.WRONG
    assert len(records.cells) == killable_run.MULTIPLIERS
    assert records.finished
    assert {cell.case for cell in records.failing} == {
        c for c, v in verdicts.items() if v is not Verdict.PASS
    }


def test_a_finished_run_is_reused_only_if_that_is_asked_for(
    fake_build: Callable[..., Build], tmp_path: Path
) -> None:
    side, path = killable_run.build_under_test(fake_build("C")), tmp_path / "records.jsonl"

    def run(*, reuse: bool) -> Records:
        return run_sides([side], tmp_path, title="twice", command="none", jobs=2, reuse=reuse)

    first, before = run(reuse=False), path.read_bytes()
    assert run(reuse=True).cells == first.cells
    assert path.read_bytes() == before
    assert judgement(run(reuse=False)) == judgement(first)
    assert path.read_bytes() != before


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_at_a_random_moment_and_started_again_it_gives_the_same_judgement(
    fake_build: Callable[..., Build], tmp_path: Path, seed: int
) -> None:
    made = fake_build("C")
    wanted = killable_run.run(tmp_path / "whole", made)
    folder, temporary = tmp_path / "killed", tmp_path / "temporary"
    temporary.mkdir()
    path = folder / "records.jsonl"
    enough = random.Random(seed).randrange(3, 2 * killable_run.MULTIPLIERS)  # noqa: S311 - not for secrets
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.killable_run", folder, made.folder],
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if path.exists() and path.read_bytes().count(b"\n") >= enough:
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.002)
    process.wait()
    torn = path.read_bytes()
    assert b'"record":"end"' not in torn, "it ended before it was killed"
    done = torn.count(b'"record":"observation"')
    again = killable_run.run(folder, made)
    assert judgement(again) == judgement(wanted)
    lines = path.read_bytes().count(b'"record":"observation"')
    assert lines == killable_run.MULTIPLIERS + 1, "pictures that were there have been made again"
    assert done < lines
    while any(temporary.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not list(temporary.iterdir()), "the workers have left their temporary files"


def test_a_finished_run_starts_anew(fake_build: Callable[..., Build], tmp_path: Path) -> None:
    first = killable_run.run(tmp_path, fake_build("C"))
    second = killable_run.run(tmp_path, fake_build("C"))
    assert first.run.plan == second.run.plan
    assert len(second.cells) == len(first.cells)
    assert (tmp_path / "records.jsonl").read_text().count('"record":"run"') == 1


def test_records_of_another_plan_are_not_taken_up(fake_build: Callable[..., Build], tmp_path: Path) -> None:
    killable_run.run(tmp_path, fake_build("C"))
    path = tmp_path / "records.jsonl"
    other = path.read_text().replace('"plan":"', '"plan":"0').splitlines(keepends=True)[:-3]
    path.write_text("".join(other))
    assert len(killable_run.run(tmp_path, fake_build("C")).cells) == killable_run.MULTIPLIERS


def test_two_sides_that_no_patch_tells_apart_are_run_once(
    fake_build: Callable[..., Build], tmp_path: Path
) -> None:
    one = killable_run.build_under_test(fake_build("C"))
    two = dataclasses.replace(one, side=dataclasses.replace(one.side, label="fake patched", patched=True))
    records = run_sides([one, two], tmp_path, title="", command="", jobs=2)
    assert len(records.observations) == killable_run.MULTIPLIERS + 1
    assert [c.case for c in records.cells if c.side == "fake"] == [
        c.case for c in records.cells if c.side != "fake"
    ]


def test_nothing_tried_is_no_success(fake_build: Callable[..., Build], tmp_path: Path) -> None:
    empty = dataclasses.replace(killable_run.build_under_test(fake_build("C")), cases=[])
    with pytest.raises(NothingTried):
        run_sides([empty], tmp_path, title="nothing", command="", jobs=1)
