"""sdcpp patch send: the folder for a pull request, with the run of verify replaced."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli import verify
from harness.cli.main import main
from harness.cli.patch import send
from harness.records.verdict import Verdict
from sdcpp.errors import NothingTried, PatchConflict, SeriesInvalid, UnknownRevision
from sdcpp.patching import series
from sdcpp.patching.patch_file import Patch, parse
from sdcpp.patching.state import PatchState, State
from tests.unit.example_records import write_run
from tests.unit.reports.test_pull_request import DEAD, GOOD, proposed

NAME = "lora-rank-one"


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Verdict, Verdict]]:
    """Return the list of verdicts that the replaced run will have; the patch applies alone."""
    found: list[tuple[Verdict, Verdict]] = []

    def run(arguments: argparse.Namespace) -> int:
        records = proposed(*found)
        command = f"sdcpp verify --patch {arguments.patch[0]} --case {arguments.case[0]}"
        records.run = replace(records.run, command=command)
        write_run(records, arguments.output)
        return verify.REGRESSED if (GOOD, DEAD) in found else 0

    monkeypatch.setattr(verify, "main", run)
    monkeypatch.setattr(send, "_require_alone", lambda *_: None)
    return found


def test_the_folder_has_what_a_pull_request_needs(
    tmp_path: Path, results: list[tuple[Verdict, Verdict]]
) -> None:
    results += [(DEAD, GOOD), (GOOD, GOOD)]
    assert main(["patch", "send", NAME, "--output", str(tmp_path)]) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"title.txt", "body.md", f"{NAME}.patch", "steps.md", send.REPORT}
    assert (tmp_path / "title.txt").read_text(encoding="utf-8") == "fix: scale of LoRAs of rank 1\n"
    body = (tmp_path / "body.md").read_text(encoding="utf-8")
    assert [line for line in body.splitlines() if line.startswith("## ")] == [
        "## Summary",
        "## Related Issue / Discussion",
        "## Additional Information",
        "## Checklist",
    ]
    assert "| fixed | `case-0@auto` flux-small | ABORT [1] | PASS 0.01/0.04 |" in body
    assert f"sdcpp verify --patch {NAME}.patch --case lora-r1-safetensors-F32@at_runtime" in body
    assert "sdcpp reproduce case-0@auto --revision 2026-05 --base-model flux-small" in body
    assert str(tmp_path) not in body


def test_the_patch_has_no_notes_of_this_project(
    tmp_path: Path, results: list[tuple[Verdict, Verdict]]
) -> None:
    results.append((DEAD, GOOD))
    assert main(["patch", "send", NAME, "--output", str(tmp_path)]) == 0
    [form] = [form for form in series.forms(NAME) if form.revisions == ("2026-05",)]
    file = tmp_path / f"{NAME}.patch"
    sent = parse(file.read_bytes(), file)
    assert (sent.diff, sent.subject, sent.body, sent.notes) == (form.diff, form.subject, form.body, "")
    assert sent.fixes == ()
    assert "sdcpp verify" not in file.read_text(encoding="utf-8")


def test_a_patch_that_makes_a_case_worse_keeps_the_status(
    tmp_path: Path, results: list[tuple[Verdict, Verdict]]
) -> None:
    results += [(DEAD, GOOD), (GOOD, DEAD)]
    assert main(["patch", "send", NAME, "--output", str(tmp_path)]) == verify.REGRESSED


def test_a_patch_that_fixes_nothing_alone_is_no_success(
    tmp_path: Path, results: list[tuple[Verdict, Verdict]]
) -> None:
    results.append((GOOD, GOOD))
    assert main(["patch", "send", NAME, "--output", str(tmp_path)]) == NothingTried.exit_code


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["no-such-patch"], SeriesInvalid),
        ([NAME, "--revision", "1999-01"], UnknownRevision),
        (["lora-wan-names", "--revision", "2025-12"], SeriesInvalid),
    ],
)
def test_what_does_not_exist_is_refused(words: list[str], error: type[SeriesInvalid], tmp_path: Path) -> None:
    assert main(["patch", "send", *words, "--output", str(tmp_path)]) == error.exit_code
    assert not list(tmp_path.iterdir())


def test_a_patch_that_needs_others_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def states(_: object, forms: list[Patch]) -> list[PatchState]:
        return [PatchState(patch=forms[0], state=State.CONFLICTS, detail="src/lora.hpp, line 1")]

    monkeypatch.setattr("sdcpp.source.workspace.workspace", lambda _: None)
    monkeypatch.setattr(send, "find_states", states)
    assert main(["patch", "send", NAME, "--output", str(tmp_path)]) == PatchConflict.exit_code
    said = capsys.readouterr().err
    assert "does not apply to 2026-05 alone (conflicts)" in said
    assert "lora-quantized-conv" in said
