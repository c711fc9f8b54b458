from __future__ import annotations

import pytest

from harness.cli import main as command
from harness.records.verdict import Verdict
from harness.studies.history.run import HistoryRow
from sdcpp.source.revision import Revision
from tests.unit.studies.history.history_rows import row


def test_some_cases_are_shown_and_leave_no_record(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[object] = []

    def run(wanted: Revision, *_: object, **more: object) -> HistoryRow:
        asked.extend([wanted.name, more["select"]])
        return row(wanted.name, Verdict.ABORT)

    monkeypatch.setattr("harness.studies.history.run.run", run)
    monkeypatch.setattr("harness.studies.history.run.write", lambda *_: pytest.fail("wrote a record"))
    assert command.main(["history", "--revision", "0.2.9", "--case", "rank-*"]) == 0
    assert asked == ["0.2.9", ["rank-*"]]
    assert capsys.readouterr().out == "0.2.9 pristine rank-1@immediately: abort so <it> is\n"
