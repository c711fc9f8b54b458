from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cases import core
from harness.cli import main as command
from harness.records.verdict import Verdict
from harness.studies import bisection
from sdcpp.errors import EndsAlike, NotJudged, SourceInvalid, UnknownRevision
from tests.unit import fake_models, fakelib, git_repositories


@given(st.integers(2, 60), st.data())
def test_the_change_is_found_and_revisions_that_cannot_run_are_skipped(
    count: int, data: st.DataObject
) -> None:
    change = data.draw(st.integers(1, count - 1))
    untestable = data.draw(st.frozensets(st.integers(1, count - 2) if count > 2 else st.nothing()))
    tested: list[int] = []

    def passes(index: int) -> bool | None:
        tested.append(index)
        return None if index in untestable else index < change

    step = bisection.search(range(count), passes)
    assert step.before < change <= step.after
    assert set(step.skipped) <= untestable
    assert list(step.skipped) == list(range(step.before + 1, step.after))
    assert len(tested) == len(set(tested))
    if not untestable:
        assert len(tested) <= 2 + (count - 1).bit_length()


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([True, False, True], "0 passes, 2 passes"),
        ([False, True, False], "0 fails, 2 fails"),
        ([None, True, False], "0 cannot be tested, 2 fails"),
        ([True], "0 passes, 0 passes"),
    ],
)
def test_two_ends_with_the_same_result_are_refused(results: list[bool | None], message: str) -> None:
    with pytest.raises(EndsAlike, match=message):
        bisection.search(range(len(results)), results.__getitem__)


def test_registry_revisions_have_one_revision_for_each_commit_oldest_first() -> None:
    names = [revision.name for revision in bisection.registry_revisions("0.4.1", "0.1.9")]
    assert names[:3] == ["0.2.1", "0.2.2", "0.2.3"]
    assert names[-1] == "2025-12"
    assert [revision.name for revision in bisection.registry_revisions("0.1.9", "0.4.1")] == names
    with pytest.raises(UnknownRevision):
        bisection.registry_revisions("0.4.1", "0.5.0")


def test_the_command_lists_the_core_cases_and_refuses_others(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["bisect", "--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in core.CORE_CASES)
    for wrong in ("gguf", "rank-1@auto"):
        with pytest.raises(SystemExit):
            command.main(["bisect", "--case", wrong, "--good", "0.2.3", "--bad", "0.2.5"])
        assert f"'{wrong}' is no case" in capsys.readouterr().err


@pytest.fixture
def checkout(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """Return a repository of the fake library, and its commits by name."""
    folder = fakelib.tree(tmp_path / "checkout")
    source = folder / "fake.c"
    good = source.read_text(encoding="utf-8")
    line = '            say(SD_LOG_WARN, "load lora tensors failed: ", p->loras[i].path);\n'
    assert good.count(line) == 1
    bad = good.replace(line, "            abort();\n")
    states = {
        "good": good,
        "comment": f"/* a comment */\n{good}",
        "no C": f"not C\n{bad}",
        "broken": bad,
        "another comment": f"/* a comment */\n{bad}",
        "fixed": f"{good}/* fixed */\n",
    }
    commits = {"first": git_repositories.repository(folder, {})}
    for name, text in states.items():
        source.write_text(text, encoding="utf-8")
        git_repositories.git(folder, "commit", "--quiet", "--allow-empty", "--all", f"--message={name}")
        commits[name] = git_repositories.git(folder, "rev-parse", "HEAD")
    return folder, commits


def test_repository_revisions_are_all_commits_between_two_ends(
    checkout: tuple[Path, dict[str, str]],
) -> None:
    folder, commits = checkout
    revisions = bisection.repository_revisions(folder, commits["comment"], commits["broken"])
    assert [revision.commit for revision in revisions] == [
        commits["comment"],
        commits["no C"],
        commits["broken"],
    ]
    assert bisection.repository_revisions(folder, commits["broken"], commits["comment"]) == revisions
    assert all(revision.date for revision in revisions)
    with pytest.raises(SourceInvalid, match="no such commit: v9 in"):
        bisection.repository_revisions(folder, "v9", "HEAD")
    git_repositories.git(folder, "checkout", "--quiet", "--orphan", "other")
    git_repositories.git(folder, "commit", "--quiet", "--message=other")
    with pytest.raises(SourceInvalid, match="neither commit is an ancestor"):
        bisection.repository_revisions(folder, commits["good"], "other")


@pytest.mark.usefixtures("cache_folder")
def test_the_commits_that_broke_and_fixed_a_case_are_found_in_a_checkout(
    checkout: tuple[Path, dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, commits = checkout
    monkeypatch.setattr(core, "SMALLEST_BASES", (("2000-01-01", fake_models.BASE),))

    def run(good: str, bad: str) -> list[str]:
        ends = ["--good", commits[good], "--bad", commits[bad], "--output", str(tmp_path / "out")]
        assert command.main(["bisect", "--case", "missing-file", "--repo", str(folder), *ends]) == 0
        return capsys.readouterr().out.splitlines()

    lines = run("good", "another comment")
    assert lines[0] == f"maybe git-{commits['no C'][:10]} {commits['no C']}: could not be tested"
    assert lines[1].startswith(f"first bad: git-{commits['broken'][:10]} {commits['broken']} ")
    assert lines[1].endswith(f"{Verdict.PASS} -> {Verdict.ABORT} after git-{commits['comment'][:10]}")
    report = (tmp_path / "out/missing-file@immediately-pristine/step/report.md").read_text("utf-8")
    assert commits["broken"][:10] in report
    assert (
        f"sdcpp bisect --good {commits['good']} --bad {commits['another comment']} --repo {folder}" in report
    )
    assert "--case missing-file@immediately" in report
    assert "ABORT" in report
    assert run("fixed", "broken")[-1].startswith(f"first good: git-{commits['fixed'][:10]} ")


@pytest.mark.usefixtures("cache_folder")
def test_an_end_on_which_the_base_model_does_not_open_ends_the_search(
    checkout: tuple[Path, dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, commits = checkout
    monkeypatch.setattr(core, "SMALLEST_BASES", (("2000-01-01", fake_models.BASE),))
    monkeypatch.setenv("FAKE_OPEN_FAILS", "small-")
    words = ["--good", commits["good"], "--bad", commits["broken"], "--output", str(tmp_path / "out")]
    status = command.main(["bisect", "--case", "missing-file", "--repo", str(folder), *words])
    assert status == NotJudged.exit_code
    said = " ".join(capsys.readouterr().err.split())
    assert (
        f"the case cannot be judged on an end of the search: git-{commits['good'][:10]}: the base model"
        in said
    )
    assert "the base model small does not open: " in said
