"""``sdcpp verify --upstream`` and ``sdcpp bisect --upstream``, on a repository with the fake library.

The repository stands in for upstream's, and an sdist with the same code for the newest named revision, a fork.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.cases.case import Case
from harness.cases.dimensions import no_adapter
from harness.cases.fixture import Fixture
from harness.cli import options, runs
from harness.cli.main import main
from harness.cli.verify import REGRESSED
from harness.records import record
from harness.records.record import Records
from harness.records.verdict import Verdict
from harness.verification import judged
from sdcpp import cache
from sdcpp.errors import NetworkUnavailable, NothingTried, NotJudged, SourceInvalid
from sdcpp.source import mirror, revision, upstream
from tests.unit import fake_matrix, fake_models, fakelib, git_repositories
from tests.unit.git_repositories import git

#: The line before which the broken library aborts, if there is an adapter.
LINE = "            sum += apply(p->loras[i].path, p->loras[i].multiplier, refused);\n"


def cases(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield two cases with an adapter; the fork cannot do one of them."""
    first, second, *_ = fake_matrix.changes_nothing(fixture, mode)
    yield first
    yield replace(second, name="ckpt", dimensions={**second.dimensions, "container": "ckpt"})


MATRIX = replace(
    fake_matrix.MATRIX, dimensions=(no_adapter, cases), bases=dict.fromkeys("BC", (fake_models.BASE,))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The repository, its first commit, and the folder of the reports."""

    folder: Path
    first: str
    output: Path

    def commit(self, message: str, old: str = "", new: str = "") -> str:
        """Replace a text of the library once, commit it, and return the commit.

        Each commit adds a constant to the library, so no two commits compile to the same objects.
        """
        path = self.folder / "fake.c"
        text = path.read_text(encoding="utf-8")
        assert old in text
        constant = f'const char commit_{text.count("const char commit_")}[] = "{message}";\n'
        path.write_text(text.replace(old, new, 1) + constant, encoding="utf-8")
        return self.commit_as_it_is(message)

    def commit_as_it_is(self, message: str) -> str:
        """Commit the files as they are, and return the commit."""
        git(self.folder, "commit", "--quiet", "--all", f"--message={message}")
        return git(self.folder, "rev-parse", "HEAD")

    def name(self, commit: str) -> str:
        """Return a commit as tables name it."""
        return f"{commit[:7]} ({git(self.folder, 'log', '-1', '--format=%cs', commit)})"

    def verify(self, *words: str) -> int:
        shutil.rmtree(self.output, ignore_errors=True)
        return main(["verify", "--upstream", *words, "--jobs", "1", "--output", os.fspath(self.output)])

    @property
    def records(self) -> Records:
        return record.read(self.output / "records.jsonl")

    @property
    def report(self) -> str:
        return (self.output / "report.md").read_text(encoding="utf-8").replace("\\", "")


@pytest.fixture
def server(tmp_path: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    folder = fakelib.tree(tmp_path / "upstream")
    git_repositories.repository(tmp_path / "ggml", {"src/ggml.c": "int ggml;\n"})
    git_repositories.repository(folder, {})
    git(folder, "submodule", "--quiet", "add", "../ggml", "ggml")
    git(folder, "commit", "--quiet", "--message=first")
    first = git(folder, "rev-parse", "HEAD")
    files = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir() if path.is_file()}
    origin = git_repositories.sdist(cache_folder / "downloads", {**files, "ggml/ggml.c": "int ggml;\n"})
    newest = options.REVISIONS[-1]
    fork = replace(
        git_repositories.revision(origin),
        name=newest,
        date="2026-07-05",
        fork_of=first,
        lacks=(("ckpt", "the fork has no ckpt reader"),),
    )
    known = revision.load()
    monkeypatch.setattr(revision, "find", lambda name: {**known, newest: fork}[name])
    monkeypatch.setattr(runs, "matrix", lambda *_: MATRIX)
    monkeypatch.setenv(mirror.VARIABLE, os.fspath(folder))
    return Server(folder=folder, first=first, output=tmp_path / "out")


def last(commit: str) -> judged.Judged | None:
    return judged.last(upstream.find(commit), "cpu")


def test_upstream_is_followed_from_week_to_week(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    second = server.commit("second")
    assert server.verify() == 0
    shown = " ".join(capsys.readouterr().out.split())
    names = f"upstream, {options.REVISIONS[-1]} -> {server.name(second)}: "
    counts = "0 fixed, 0 regressed, 2 not judged before (2 of them pass now), 4 unchanged"
    assert f"{names}{counts}" in shown
    assert f"The change makes nothing worse: {names}{counts}." in shown
    assert f"**The change makes nothing worse: {names}{counts}.**" in server.report
    assert f"- after: upstream {server.name(second)}" in server.report
    assert "- change: 1 commit\n" in server.report
    lacking = {
        cell.side: cell.verdict for cell in server.records.cells if cell.dimensions.get("container") == "ckpt"
    }
    assert lacking == {
        f"upstream {options.REVISIONS[-1]}": Verdict.UNSUPPORTED,
        f"upstream {server.name(second)}": Verdict.PASS,
    }
    command = server.records.run.command

    third = server.commit("third")
    broken = server.commit("feat: break it", LINE, f"            abort();\n{LINE}")
    newest = server.commit("newest")
    assert last(newest) == judged.Judged(commit=second, date=server.name(second)[9:-1], backend="cpu")
    assert server.verify("main") == REGRESSED
    capsys.readouterr()
    assert f"upstream, {server.name(second)} -> {server.name(newest)}: 0 fixed, 4 regressed" in server.report
    assert "feat: break it" in server.report
    [search] = [line for line in server.report.splitlines() if "bisect" in line and "ckpt@at_runtime" in line]
    assert f"--good {second} --bad {newest}" in search

    # A second run compares the same two commits, and so does the command in the first report.
    assert server.verify() == REGRESSED
    assert f"{server.name(second)} -> {server.name(newest)}" in server.report
    assert f"--revision {options.REVISIONS[-1]} --upstream {second}" in command
    program, *words = shlex.split(search)
    assert program == "sdcpp"
    capsys.readouterr()
    assert main([*words, "--output", os.fspath(server.output / "bisect")]) == 0
    found = capsys.readouterr().out
    assert f"first bad: upstream-{broken[:7]} {broken} " in found
    assert found.endswith(f"PASS -> ABORT after upstream-{third[:7]}\n")


def test_a_pull_request_is_compared_with_its_merge_base(server: Server) -> None:
    git(server.folder, "checkout", "--quiet", "-b", "fix")
    pull = server.commit("of a pull request", LINE, f"            abort();\n{LINE}")
    git(server.folder, "update-ref", "refs/pull/7/head", pull)
    git(server.folder, "checkout", "--quiet", "main")
    newest = server.commit("newest")
    assert server.verify("pr/7", "--merge-base", "main") == REGRESSED
    assert f"{server.name(server.first)} -> {server.name(pull)}: 0 fixed, 4 regressed" in server.report
    assert last(newest) is None, "what was judged is no ancestor"


def test_states_that_compile_to_the_same_objects_are_known_as_such(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    with (server.folder / "fake.c").open("a", encoding="utf-8") as file:
        file.write("/* a comment on the last line moves no other */\n")
    newest = server.commit_as_it_is("a comment")
    assert server.verify("--merge-base", server.first) == 0
    said = "0 fixed, 0 regressed, 6 unchanged (not run: both states compile to the same objects)"
    assert f"{server.name(server.first)} -> {server.name(newest)}: {said}" in " ".join(
        capsys.readouterr().out.split()
    )
    # Each state was built in a workspace of its own, so the two commands differ in the places that they name.
    for commit in (server.first, newest):
        assert list((cache.root() / cache.TREES).glob(f"upstream-{commit[:7]}-*"))


def test_only_what_was_judged_is_remembered(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = server.commit("second")
    assert server.verify("--case", "ckpt") == 0
    monkeypatch.setenv("FAKE_OPEN_FAILS", "small-")
    assert server.verify() == NotJudged.exit_code
    monkeypatch.delenv("FAKE_OPEN_FAILS")
    later = server.commit("third")
    assert last(later) is None
    assert server.verify(newest) == 0
    assert last(later) is not None
    assert judged.last(upstream.find(later), "vulkan") is None


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["v9"], SourceInvalid.exit_code, "no such branch, tag, commit or pull request: v9 in "),
        (["--merge-base", "v9"], SourceInvalid.exit_code, "no such branch, tag, commit or pull request: v9"),
        (["--merge-base", "main"], NothingTried.exit_code, "both states are the same commit"),
        (["--case", "gguf-F61"], NothingTried.exit_code, "no case has this name"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_built(
    server: Server,
    words: list[str],
    status: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert server.verify(*words) == status
    assert said in capsys.readouterr().err
    assert not (cache.root() / cache.BUILDS).exists()


@pytest.mark.parametrize("command", ["verify --upstream", "bisect --case none --upstream --good a --bad b"])
def test_without_network_there_is_one_error(
    server: Server, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(mirror.VARIABLE, os.fspath(server.folder.with_name("none")))
    assert main(command.split()) == NetworkUnavailable.exit_code
    said = capsys.readouterr().err
    assert said.count("cannot be fetched") == 1
    assert mirror.VARIABLE in said


def test_the_commands_that_repeat_a_cell_name_both_states(server: Server) -> None:
    newest = server.commit("second")
    assert server.verify("--merge-base", server.first, "--case", "none") == 0
    repeat = {cell.repeat for cell in server.records.cells if cell.dimensions["mode"] == "at_runtime"}
    words = f"nox -s verify -- --upstream {newest} --merge-base {server.first} --case none@at_runtime"
    assert repeat == {words}
