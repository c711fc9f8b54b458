from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.cli import options
from harness.cli.main import main
from harness.cli.patch import start, state
from harness.verification import own_cases
from sdcpp import project
from sdcpp.errors import BuildFailed, PatchConflict, SeriesInvalid
from sdcpp.patching import series
from sdcpp.patching.state import State
from sdcpp.source.workspace import workspace
from tests.unit import git_repositories


def test_rules_that_are_kept_are_counted_and_every_complaint_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["patch", "lint"]) == 0
    assert capsys.readouterr().out.endswith(" patches follow the rules\n")
    monkeypatch.setattr(series, "lint", lambda: ["a.patch: too long", "b.patch: too short"])
    assert main(["patch", "lint"]) == SeriesInvalid.exit_code
    shown = capsys.readouterr().err
    assert "a.patch: too long" in shown
    assert "b.patch: too short" in shown


@pytest.fixture
def conflicts(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the set of revisions on which the one patch of the series conflicts."""
    on: set[str] = set()

    def states(tree: str, _: object) -> list[SimpleNamespace]:
        found = State.CONFLICTS if tree in on else State.APPLIES
        return [
            SimpleNamespace(
                patch=SimpleNamespace(name="fix"), state=found, detail="a hunk [x]", required=True
            )
        ]

    monkeypatch.setattr(state, "workspace", lambda revision: revision.name)
    monkeypatch.setattr(series, "load", lambda: [SimpleNamespace(revisions=options.REVISIONS)])
    monkeypatch.setattr(state, "find_states", states)
    return on


def test_the_state_is_shown_for_each_revision_and_a_conflict_with_its_hunk(
    conflicts: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["patch", "state"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [[name, "fix", "applies"] for name in ("2025-12", "2026-05", "2026-07")]
    conflicts.add("2025-12")
    assert main(["patch", "state"]) == PatchConflict.exit_code
    assert "a hunk [x]" in capsys.readouterr().out
    assert main(["patch", "state", "--revision", "2026-05"]) == 0
    assert "2025-12" not in capsys.readouterr().out


def test_what_git_says_is_shown_even_if_the_cases_cannot_run(
    conflicts: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise BuildFailed("it does not compile", "x.cpp", "see the log")

    assert not conflicts
    monkeypatch.setattr(series, "load", lambda: [SimpleNamespace(revisions=("2025-12",))])
    monkeypatch.setattr(own_cases, "needs", fail)
    assert main(["patch", "state", "--revision", "2026-05"]) == BuildFailed.exit_code
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0].split() == ["2026-05", "fix", "applies"]
    assert "2026-05: of 1 patches, 1 applies" in shown.out
    assert "it does not compile" in shown.err
    assert main(["patch", "state", "--revision", "2026-05", "--no-cases"]) == 0


def test_a_check_is_the_rules_and_then_the_states(
    conflicts: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["patch", "check"]) == 0
    assert "patches follow the rules" in capsys.readouterr().out
    conflicts.add("2026-05")
    assert main(["patch", "check"]) == PatchConflict.exit_code
    capsys.readouterr()
    monkeypatch.setattr(series, "lint", lambda: ["a.patch: too long"])
    assert main(["patch", "check"]) == SeriesInvalid.exit_code
    assert "applies" not in capsys.readouterr().out


def test_a_commit_in_a_working_tree_becomes_a_patch_file(
    tmp_path: Path,
    cache_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    origin = git_repositories.sdist(cache_folder / "downloads")
    tree = workspace(git_repositories.revision(origin))
    checkout, work = tmp_path / "checkout", tmp_path / "work"
    (checkout / "patches").mkdir(parents=True)
    (checkout / "patches" / "series").write_text("# in order\n")
    monkeypatch.setattr(start, "workspace", lambda _: tree)
    monkeypatch.setattr(series, "load", lambda: [])
    monkeypatch.setattr(project, "checkout", lambda: checkout)
    assert main(["patch", "start", "2026-05", str(work)]) == 0
    assert f"sdcpp patch export {work}" in capsys.readouterr().out
    with (work / "stable-diffusion.cpp").open("a") as file:
        file.write("one more line\n")
    message = "fix: one more line\n\nWhy so.\n\nUpstream-Status: Pending\n"
    git_repositories.git(work, "commit", "--quiet", "--all", f"--message={message}")
    assert main(["patch", "export", str(work)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "written  one-more-line/small.patch",
        "0 patches are unchanged",
    ]
    assert "one-more-line\n" in (checkout / "patches" / "series").read_text()
    assert main(["patch", "export", str(work)]) == 0
    assert capsys.readouterr().out == "1 patches are unchanged\n"
    shutil.rmtree(work)
