"""Runs in which the library opens no base model, or only one: each command says so and fails with a status of its own.

The fake library stands in for upstream's. Its cases pass unless the base model does not open.
"""

from __future__ import annotations

import shlex
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.cases.build_under_test import BuildUnderTest
from harness.cli import runs
from harness.cli.main import main
from harness.cli.verify import REGRESSED
from harness.records import record
from harness.records.record import Records
from harness.records.verdict import NOT_JUDGED, Verdict
from harness.studies.history import run as history
from harness.verification import repeats
from sdcpp.binding.build_folder import Build
from sdcpp.building import build as building
from sdcpp.errors import NotJudged
from sdcpp.source import workspace
from tests.unit import fake_matrix, git_repositories
from tests.unit.fake_matrix import CELLS

STATUS = NotJudged.exit_code
#: What the library logs when it does not open a model.
WORDS = "tensor 'encoder.layers.0.bias' not in model metadata"
#: A part of every path of a base model, and parts of those of one base model.
ALL, SMALL = "safetensors", "small-"

Builds = Callable[..., Build]


def opens(builds: Builds, closed: str, side: str) -> Build:
    """Return a build of the fake library for a side that opens no model whose path has ``closed`` in it."""
    facts = {"open_fails": closed} if closed else {}
    return builds("C", revision="local", identity=f"{side} {closed}".ljust(64, "0"), **facts)


@pytest.fixture(autouse=True)
def one_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat a doubtful case once: tests/unit/verification/test_repeats.py tests the others."""
    monkeypatch.setattr(repeats, "REPEATS", 1)


@pytest.fixture
def verify(
    fake_build: Builds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, Records]]:
    """Return a function that runs ``sdcpp verify`` on a pristine and a patched side, given what they do not open."""

    def run(pristine: str, patched: str) -> tuple[int, Records]:
        @contextmanager
        def all_sides(*_: object) -> Iterator[list[BuildUnderTest]]:
            yield [
                fake_matrix.side(opens(fake_build, pristine, "pristine"), "pristine", patched=False),
                fake_matrix.side(opens(fake_build, patched, "patched"), "patched", patched=True),
            ]

        monkeypatch.setattr(runs, "all_sides", all_sides)
        status = main(["verify", "--jobs", "2", "--output", str(tmp_path / "out")])
        return status, record.read(tmp_path / "out" / "records.jsonl")

    return run


@pytest.fixture
def change(
    fake_build: Builds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, Records]]:
    """Return a function that runs ``sdcpp verify --checkout``, given what the library does not open before and after.

    The checkout is a small repository with an uncommitted change; both states are builds of the fake library.
    """
    git_repositories.repository(tmp_path / "checkout")
    (tmp_path / "checkout" / "format-code.sh").write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    monkeypatch.setattr(runs, "matrix", lambda *_: fake_matrix.MATRIX)

    def run(before: str, after: str) -> tuple[int, Records]:
        made = iter([opens(fake_build, before, "before"), opens(fake_build, after, "after")])
        monkeypatch.setattr(building, "build", lambda *_, **__: next(made))
        words = ["--checkout", str(tmp_path / "checkout"), "--merge-base", "HEAD", "--jobs", "2"]
        status = main(["verify", *words, "--output", str(tmp_path / "out")])
        return status, record.read(tmp_path / "out" / "records.jsonl")

    return run


def headlines(folder: Path, shown: str) -> list[str]:
    """Return the headlines of the terminal, report.md and report.html, without markup."""
    page = (folder / "report.html").read_text(encoding="utf-8")
    of_page = page.partition('<p class="headline bad">')[2].partition("</p>")[0]
    of_markdown = (folder / "report.md").read_text(encoding="utf-8").splitlines()[0].strip("*")
    last = " ".join(shown.rsplit("sdcpp verify", maxsplit=1)[-1].split())
    return [last, of_markdown.replace("\\", ""), of_page.replace("&#39;", "'").replace("&#34;", '"')]


def verdicts(records: Records, side: str, base: str) -> set[tuple[str, Verdict]]:
    """Return the verdicts of the cells of a side on a base model, as "none" or "adapter" and the verdict."""
    return {
        (cell.case.partition("-")[0], cell.verdict)
        for cell in records.cells
        if cell.side == side and cell.dimensions["base"] == base
    }


UNOPENED = {("none", Verdict.REFUSED), ("adapter", Verdict.UNJUDGED)}
OPENED = {("none", Verdict.PASS), ("adapter", Verdict.PASS)}


def test_a_library_that_opens_everything_is_judged(
    verify: Callable[..., tuple[int, Records]], capsys: pytest.CaptureFixture[str]
) -> None:
    status, records = verify("", "")
    assert status == 0
    assert {cell.verdict for cell in records.cells} == {Verdict.PASS}
    assert "not judged" not in capsys.readouterr().out


@pytest.mark.parametrize("closed", [("", ALL), (ALL, ""), (ALL, ALL), ("", SMALL)])
def test_verify_fails_and_says_why(
    verify: Callable[..., tuple[int, Records]],
    closed: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, records = verify(*closed)
    sides = [side for side, part in zip(("pristine", "patched"), closed, strict=True) if part]
    bases = ["small"] if SMALL in closed else ["small", "other"]
    assert status == STATUS
    for side in ("pristine", "patched"):
        for base in ("small", "other"):
            failing = side in sides and base in bases
            assert verdicts(records, f"local {side}", base) == (UNOPENED if failing else OPENED)
    unjudged = [cell for cell in records.cells if cell.verdict is Verdict.UNJUDGED]
    assert all(
        f"the base model {cell.dimensions['base']} does not open: " in cell.evidence for cell in unjudged
    )
    assert all(WORDS in cell.evidence for cell in unjudged)
    where = ", ".join(f"local {side}" for side in sides)
    count = len(unjudged) + (len(bases) * 2 * 2 if len(sides) == 2 else 0)
    for headline in headlines(tmp_path / "out", capsys.readouterr().out):
        assert f"The run cannot be judged: on {where}, the base model {bases[0]} does not open: " in headline
        assert WORDS in headline
        assert f"{count} not judged" in headline
    tree = ET.parse(tmp_path / "out" / "junit.xml").getroot()  # noqa: S314 - our own
    assert tree.get("errors") == str(len(bases))
    for error in tree.findall("testsuite[@name='the run']/testcase/error"):
        assert WORDS in (error.get("message") or "")
    assert len(tree.findall(".//skipped")) == count
    assert len(tree.findall(".//testcase")) == int(tree.get("tests") or 0)


@pytest.mark.parametrize(
    ("closed", "counts"),
    [
        (
            ("", ALL),
            f"0 fixed, {2 * CELLS} regressed ({2 * CELLS - 4} of them not judged any more), 0 unchanged",
        ),
        (
            (ALL, ""),
            f"4 fixed, 0 regressed, {2 * CELLS - 4} not judged before ({2 * CELLS - 4} of them pass now), ",
        ),
        ((ALL, ALL), f"0 fixed, 0 regressed, {2 * CELLS} not judged, 0 unchanged"),
        ((SMALL, SMALL), f"0 fixed, 0 regressed, {CELLS} not judged, {CELLS} unchanged"),
    ],
)
def test_a_change_is_not_judged_if_a_base_model_does_not_open(
    change: Callable[..., tuple[int, Records]],
    closed: tuple[str, str],
    counts: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, _ = change(*closed)
    assert status == STATUS
    for headline in headlines(tmp_path / "out", capsys.readouterr().out):
        assert "The change cannot be judged: on local " in headline
        assert "does not open: new_sd_ctx returned nothing fake.c:" in headline
        assert WORDS in headline
        assert counts in headline
        assert "makes nothing worse" not in headline


def test_a_change_that_opens_everything_is_judged(change: Callable[..., tuple[int, Records]]) -> None:
    assert change("", "")[0] == 0


def test_a_crash_at_opening_is_quoted(
    change: Callable[..., tuple[int, Records]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FAKE_ABORT", "open")
    status, records = change("", "")
    assert status == STATUS
    assert verdicts(records, "local after", "small") == {
        ("none", Verdict.ABORT),
        ("adapter", Verdict.UNJUDGED),
    }
    said = " ".join(capsys.readouterr().out.split())
    assert "the base model small makes no picture without an adapter in mode auto: SIGABRT: " in said


def test_a_library_that_runs_on_another_backend_judges_nothing(
    change: Callable[..., tuple[int, Records]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_BACKEND", "CUDA0")
    monkeypatch.setenv("FAKE_DEVICES", "CUDA0")
    status, records = change("", "")
    assert status == STATUS
    assert {cell.verdict for cell in records.cells} == {Verdict.MISDIRECTED}


def test_several_matrices_are_all_run_and_the_status_is_the_most_urgent(
    fake_build: Builds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    @contextmanager
    def all_sides(_: object, name: str, *__: object) -> Iterator[list[BuildUnderTest]]:
        asked.append(name)
        made = opens(fake_build, ALL if name == "quick" else "", "pristine")
        yield [fake_matrix.side(made, "pristine", patched=False)]

    monkeypatch.setattr(runs, "all_sides", all_sides)
    words = shlex.split("verify --matrix quick --matrix full --jobs 2 --output")
    assert main([*words, str(tmp_path / "out")]) == STATUS
    assert asked == ["quick", "full"]
    # The compact records of all matrices still say it, and so does combine.
    path = str(tmp_path / "out" / "records.jsonl")
    assert main(["combine", path, "--output", str(tmp_path / "combined")]) == STATUS


def test_combine_names_the_file_that_cannot_be_judged(
    verify: Callable[..., tuple[int, Records]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verify("", SMALL)
    capsys.readouterr()
    path = str(tmp_path / "out" / "records.jsonl")
    assert main(["combine", path, "--output", str(tmp_path / "combined")]) == STATUS
    shown = capsys.readouterr().out
    text = (tmp_path / "combined" / "merged.md").read_text(encoding="utf-8").replace("\\", "")
    page = (tmp_path / "combined" / "merged.html").read_text(encoding="utf-8")
    said = (
        "Some records cannot be judged: records.jsonl: on local patched, the base model small does not open: "
    )
    assert said in shown
    assert said in text
    assert said in page
    assert f"{CELLS - 2} not judged" in shown


def test_repeat_does_not_call_it_no_difference(
    fake_build: Builds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def all_sides(*_: object) -> Iterator[list[BuildUnderTest]]:
        yield [fake_matrix.side(opens(fake_build, ALL, "pristine"), "pristine", patched=False)]

    monkeypatch.setattr(runs, "all_sides", all_sides)
    assert main(["repeat", "--repeat", "1", "--jobs", "2", "--output", str(tmp_path)]) == STATUS
    assert "The run cannot be judged: on local pristine, the base model small " in capsys.readouterr().out


def test_history_records_it_and_fails(
    fake_build: Builds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    facts: dict[str, object] = {"states": {}, "compilers": {}}
    made = fake_build("C", revision="0.2.9", open_fails=ALL, identity="history".ljust(64, "0"), **facts)
    monkeypatch.setattr(workspace, "workspace", lambda wanted: SimpleNamespace(revision=wanted))
    monkeypatch.setattr(
        history, "build_sides", lambda *_: [fake_matrix.side(made, "pristine", patched=False)]
    )
    monkeypatch.setattr(history, "remove_build", lambda _: None)
    monkeypatch.setattr(history, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(history, "write", lambda row, write=history.write: write(row, tmp_path / "results"))
    words = ["history", "--revision", "0.2.9", "--restart", "--jobs", "2", "--output", str(tmp_path / "out")]
    assert main(words) == STATUS
    assert (
        "0.2.9: cannot be judged: on 0.2.9 pristine, the base model small does not" in capsys.readouterr().out
    )
    row = history.read(tmp_path / "results" / "0.2.9.jsonl")
    assert len(row.complaints) == 2
    assert {j.verdict for j in row.judgements} == {Verdict.REFUSED, Verdict.UNJUDGED}


def test_the_status_is_not_that_of_a_regression() -> None:
    assert STATUS not in (0, runs.NOT_AS_EXPECTED, REGRESSED)
    assert Verdict.UNJUDGED in NOT_JUDGED
