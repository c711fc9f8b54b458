from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.fixture import BlockQuantiser
from harness.cli import repeat as command
from harness.cli import runs
from harness.cli.main import main
from harness.studies import repeat as study
from harness.verification import proposal
from sdcpp.binding.build_folder import Build
from tests.unit import fake_matrix, killable_repeats, killable_run

#: So many cases are run in each round.
CASES = 3


@pytest.fixture(autouse=True)
def _one_side_of_the_fake_library(fake_build: Callable[..., Build], monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def all_sides(*_: object) -> Iterator[list[BuildUnderTest]]:
        build = killable_run.build_under_test(fake_build("C"))
        yield [replace(build, cases=build.cases[:CASES])]

    monkeypatch.setattr(runs, "all_sides", all_sides)


def test_rounds_that_agree_exit_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["repeat", "--repeat", "1", "--output", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{CASES + 1} pictures in 2 rounds: 0 differences\n"
    assert "round 1 of 2, 1 worker" in shown.err
    assert "round 2 of 2, 2 workers" in shown.err


def test_differences_are_printed_with_their_round_and_exit_with_another_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = iter([[], ["a shot: picture, then crashed"]])
    monkeypatch.setattr(study, "differences", lambda *_: next(found))
    words = ["repeat", "--repeat", "2", "--jobs", "2", "--output", str(tmp_path)]
    assert main(words) == command.UNSTABLE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "round 2 (2 workers): a shot: picture, then crashed"
    assert lines[1].endswith("in 2 rounds: 1 differences")


@pytest.mark.usefixtures("cache_folder")
@pytest.mark.parametrize(
    ("turns", "status", "said"),
    [
        ("0", 0, "16 cells in 2 rounds: 0 called worse, 0 changed otherwise, 0 unstable"),
        ("1", command.UNSTABLE, "16 cells in 2 rounds: 2 called worse, 0 changed otherwise, 0 unstable"),
        ("10", 0, "16 cells in 2 rounds: 0 called worse, 0 changed otherwise, 1 unstable"),
    ],
)
def test_a_change_is_compared_in_each_round(
    fake_build: Callable[..., Build],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    turns: str,
    status: int,
    said: str,
) -> None:
    def side(label: str, digits: str) -> BuildUnderTest:
        build = fake_build(
            "C",
            revision="local",
            identity=f"{label} {digits} {tmp_path.name}".ljust(64, "0"),
            turns=f"lora-1-:{digits}:{tmp_path / label}",
        )
        found = fake_matrix.side(build, label, patched=label == "after")
        return replace(found, cases=found.cases[:4], baseline="local before")

    sides = [side("before", "0"), side("after", turns)]
    monkeypatch.setattr(command, "read", lambda path: path)
    monkeypatch.setattr(command, "open_block_quantiser", lambda *_: nullcontext(BlockQuantiser()))
    monkeypatch.setattr(proposal, "of_patches", lambda *_: None)
    monkeypatch.setattr(proposal, "build_sides", lambda *_: (sides, killable_repeats.PROPOSAL["local"]))
    words = ["--patch", "idle.patch", "--repeat", "2", "--jobs", "1", "--output", str(tmp_path / "out")]
    assert main(["repeat", *words]) == status
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == said
    kind = {"0": "", "1": "regressed", "10": "unstable"}[turns]
    assert all(line.startswith("round ") and f"): {kind}: small adapter-1@" in line for line in lines[:-1])


def test_a_change_has_its_own_sides(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["repeat", "--patch", "a.patch", "--side", "patched"])
    assert "--patch has its own two sides of a revision" in capsys.readouterr().err
