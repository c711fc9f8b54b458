from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.fixture import NO_BLOCKS
from harness.cli import own_corpus, runs
from harness.cli.main import main
from harness.cli.verify import REGRESSED
from harness.own_model.corpus import LINKS
from harness.records import record
from harness.records.record import Records
from harness.verification import repeats
from harness.verification.sides import build_under_test
from sdcpp import cache
from sdcpp.binding.build_folder import Build
from sdcpp.building import build as building
from sdcpp.errors import Error, FileInvalid, NothingTried, NotJudged
from sdcpp.source import revision
from tests.unit import git_repositories
from tests.unit.own_model.corpus_files import corpus

pytestmark = pytest.mark.usefixtures("cache_folder")

GONE = '\n[[case]]\nname = "gone"\nadapter = "gone.safetensors"\n'


def test_the_cases_are_listed_with_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", "--corpus", str(corpus(tmp_path, rest=GONE)), "--list"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("style@immediately ")
    assert out[3].startswith("  ! gone.safetensors is not in ")
    assert out[-1] == "4 cases, 2 of them without their files"
    assert main(["verify", "--corpus", str(tmp_path / "corpus.toml"), "--list", "--case", "style@*"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 cases"


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (["--case", "gone"], NothingTried, "no case of the corpus can be tried: gone.safetensors"),
        (["--case", "stile"], NothingTried, "did you mean style"),
        (["--corpus", "none.toml"], FileInvalid, "no corpus"),
    ],
)
def test_nothing_is_built_without_a_case(
    words: list[str], error: type[Error], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", "--corpus", str(corpus(tmp_path, rest=GONE)), *words]) == error.exit_code
    assert said in capsys.readouterr().err
    assert not (cache.root() / "builds").exists()


def test_a_corpus_takes_the_place_of_a_matrix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["verify", "--corpus", str(corpus(tmp_path)), "--matrix", "full"])
    assert "leave out --matrix" in capsys.readouterr().err


def test_a_missing_file_is_never_a_success(
    fake_build: Callable[..., Build],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The fake library makes the same picture of every model, so the case with all its files cannot be judged."""

    @contextmanager
    def all_sides(
        arguments: Any, name: str, command: Any, sides: Any, _: Path
    ) -> Iterator[list[BuildUnderTest]]:
        assert name == own_corpus.NAME
        spec = runs.run_spec(arguments, name, command, sides, revision.find("2026-07"))
        again = spec.rerun_command("--revision", "2026-07")
        yield [build_under_test(fake_build("C"), "pristine", spec, NO_BLOCKS, patched=False, again=again)]

    monkeypatch.setattr(runs, "all_sides", all_sides)
    path = corpus(tmp_path, 'modes = "at_runtime"\nexpect = "UNJUDGED"', GONE)
    words = ["--revision", "2026-07", "--side", "pristine", "--output", str(tmp_path / "out")]
    assert main(["verify", "--corpus", str(path), *words, "--case", "*@at_runtime"]) == NotJudged.exit_code
    said = capsys.readouterr()
    assert "! 1 case cannot be judged (gone@at_runtime): gone.safetensors is not in" in said.err
    found = record.read(tmp_path / "out" / "records.jsonl")
    assert {cell.case: cell.status for cell in found.cells} == {"style": "XFAIL", "gone": "UNEXPECTED"}
    assert f"--corpus {path}" in found.run.command
    assert f"--corpus {path}" in found.cells[0].repeat


def test_a_change_is_judged_by_a_corpus(
    fake_build: Callable[..., Build], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second state of the checkout is a build that ignores a LoRA."""
    git_repositories.repository(tmp_path / "checkout")
    (tmp_path / "checkout" / "format-code.sh").write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    case = 'modes = "at_runtime"\n'
    path = corpus(tmp_path, case)

    def run(before: Build, after: Build) -> tuple[int, Records]:
        made = iter([before, after])
        monkeypatch.setattr(building, "build", lambda *_, **__: next(made))
        words = [
            "--checkout",
            str(tmp_path / "checkout"),
            "--merge-base",
            "HEAD",
            "--output",
            str(tmp_path / "out"),
        ]
        status = main(["verify", "--corpus", str(path), *words])
        return status, record.read(tmp_path / "out" / "records.jsonl")

    good = fake_build("C", revision="local", identity="good".ljust(64, "0"))
    status, found = run(good, good)
    assert status == NothingTried.exit_code  # the fake library makes the same picture of every model
    path = corpus(tmp_path, f'{case}picture_sha256 = "{found.cells[0].pictures["got"]}"')
    monkeypatch.setattr(repeats, "REPEATS", 1)
    bad = fake_build(
        "C", revision="local", identity="bad".ljust(64, "0"), turns=f"{LINKS}:1:{tmp_path}/counter"
    )
    status, found = run(good, bad)
    assert (status, [cell.verdict for cell in found.cells]) == (REGRESSED, ["PASS", "WRONG"])
    assert all("--corpus" in cell.repeat for cell in found.cells)
