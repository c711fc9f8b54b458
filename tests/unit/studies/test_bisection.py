from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cases import core
from harness.cli import main as command
from harness.records.verdict import Verdict
from harness.studies import bisection
from sdcpp.errors import EndsAlike, SourceInvalid, UnknownRevision
from tests.unit import fake_models, fakelib, git_repositories


@given(st.integers(2, 60), st.data())
def test_the_change_is_found_and_revisions_that_cannot_run_are_skipped(
    count: int, data: st.DataObject
) -> None:
    change = data.draw(st.integers(1, count - 1))
    mute = data.draw(st.frozensets(st.integers(1, count - 2) if count > 2 else st.nothing()))
    asked: list[int] = []

    def passes(place: int) -> bool | None:
        asked.append(place)
        return None if place in mute else place < change

    step = bisection.search(range(count), passes)
    assert step.before < change <= step.after
    assert set(step.skipped) <= mute
    assert list(step.skipped) == list(range(step.before + 1, step.after))
    assert len(asked) == len(set(asked))
    if not mute:
        assert len(asked) <= 2 + (count - 1).bit_length()


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([True, False, True], "0 passes, 2 passes"),
        ([False, True, False], "0 fails, 2 fails"),
        ([None, True, False], "0 cannot be asked, 2 fails"),
        ([True], "0 passes, 0 passes"),
    ],
)
def test_two_ends_that_are_alike_are_refused(answers: list[bool | None], told: str) -> None:
    with pytest.raises(EndsAlike, match=told):
        bisection.search(range(len(answers)), answers.__getitem__)


def test_named_revisions_are_one_for_each_commit_in_upstreams_order() -> None:
    names = [one.name for one in bisection.named("0.4.1", "0.1.9")]
    assert names[:3] == ["0.2.1", "0.2.2", "0.2.3"]
    assert names[-1] == "2025-12"
    assert [one.name for one in bisection.named("0.1.9", "0.4.1")] == names
    with pytest.raises(UnknownRevision):
        bisection.named("0.4.1", "0.5.0")


def test_the_command_line_knows_the_core_cases(capsys: pytest.CaptureFixture[str]) -> None:
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
    """Return a repository of the fake library, and its commits by what they do."""
    folder = fakelib.tree(tmp_path / "checkout")
    source = folder / "fake.c"
    good = source.read_text(encoding="utf-8")
    place = '            say(SD_LOG_WARN, "load lora tensors failed: ", p->loras[i].path);\n'
    assert good.count(place) == 1
    bad = good.replace(place, "            abort();\n")
    states = {
        "good": good,
        "comment": f"/* a comment */\n{good}",
        "no C": f"not C\n{bad}",
        "broken": bad,
        "another comment": f"/* a comment */\n{bad}",
        "mended": f"{good}/* at last */\n",
    }
    commits = {"first": git_repositories.repository(folder, {})}
    for name, text in states.items():
        source.write_text(text, encoding="utf-8")
        git_repositories.git(folder, "commit", "--quiet", "--allow-empty", "--all", f"--message={name}")
        commits[name] = git_repositories.git(folder, "rev-parse", "HEAD")
    return folder, commits


def test_commits_of_a_checkout_are_walked_from_the_older_end(checkout: tuple[Path, dict[str, str]]) -> None:
    folder, made = checkout
    found = bisection.commits(folder, made["comment"], made["broken"])
    assert [one.commit for one in found] == [made["comment"], made["no C"], made["broken"]]
    assert bisection.commits(folder, made["broken"], made["comment"]) == found
    assert all(one.date for one in found)
    with pytest.raises(SourceInvalid, match="no such commit: v9 in"):
        bisection.commits(folder, "v9", "HEAD")
    git_repositories.git(folder, "checkout", "--quiet", "--orphan", "other")
    git_repositories.git(folder, "commit", "--quiet", "--message=other")
    with pytest.raises(SourceInvalid, match="neither commit is an ancestor"):
        bisection.commits(folder, made["good"], "other")


@pytest.mark.usefixtures("cache_folder")
def test_the_commits_that_broke_and_fixed_a_case_are_found_in_a_checkout(
    checkout: tuple[Path, dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, made = checkout
    monkeypatch.setattr(core, "SMALLEST_BASES", (("2000-01-01", fake_models.BASE),))

    def run(good: str, bad: str) -> list[str]:
        ends = ["--good", made[good], "--bad", made[bad], "--output", str(tmp_path / "out")]
        assert command.main(["bisect", "--case", "missing-file", "--repo", str(folder), *ends]) == 0
        return capsys.readouterr().out.splitlines()

    lines = run("good", "another comment")
    assert lines[0] == f"maybe git-{made['no C'][:10]} {made['no C']}: could not be asked"
    assert lines[1].startswith(f"first bad: git-{made['broken'][:10]} {made['broken']} ")
    assert lines[1].endswith(f"{Verdict.PASS} -> {Verdict.ABORT} after git-{made['comment'][:10]}")
    report = (tmp_path / "out/missing-file@immediately-pristine/step/report.md").read_text("utf-8")
    assert made["broken"][:10] in report
    assert f"sdcpp bisect --good {made['good']} --bad {made['another comment']} --repo {folder}" in report
    assert "--case missing-file@immediately" in report
    assert "ABORT" in report
    assert run("mended", "broken")[-1].startswith(f"first good: git-{made['mended'][:10]} ")
