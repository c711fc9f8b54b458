from __future__ import annotations

from dataclasses import replace

from harness.records.verdict import Status, Verdict
from harness.reports import vocabulary
from tests.unit.example_records import example


def test_an_error_stands_beside_a_verdict_where_it_decides_it() -> None:
    cell = next(each for each in example().cells if each.verdict is Verdict.PASS and each.tolerance)
    cell = replace(cell, error=0.012)
    assert vocabulary.verdict_text(cell) == "PASS 0.012"
    assert vocabulary.verdict_text(replace(cell, verdict=Verdict.WRONG)) == "WRONG 0.012"
    assert vocabulary.verdict_text(replace(cell, verdict=Verdict.NO_EFFECT)) == "NO_EFFECT"
    assert vocabulary.verdict_text(replace(cell, tolerance=None)) == "PASS"


def test_every_verdict_and_every_status_has_a_meaning() -> None:
    assert set(vocabulary.VERDICTS) == set(Verdict)
    assert set(vocabulary.STATUSES) == set(vocabulary.SIGNS) == set(vocabulary.SEVERITY) == set(Status)
