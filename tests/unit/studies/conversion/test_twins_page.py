from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.records.record import Cell, Records
from harness.records.verdict import Status, Verdict
from harness.studies.conversion import twins_page
from harness.studies.conversion.twins import NO_TWIN
from sdcpp.errors import NothingTried
from tests.unit.example_records import records_of

PRISTINE = "2026-05 pristine"


def cell(name: str, verdict: Verdict, evidence: str = "") -> Cell:
    return Cell(
        side=PRISTINE,
        case=name,
        dimensions={"base": "flux-small", "mode": "auto"},
        verdict=verdict,
        status=Status.PASS,
        evidence=evidence,
    )


def run(day: str, *cells: Cell) -> Records:
    records = records_of(*cells)
    records.run = replace(
        records.run,
        started=f"{day}T00:00:00+00:00",
        command=f"sdcpp study twins of {day}",
        machine={"processor": "a processor", "cores": "32"},
    )
    return records


def test_the_page_counts_each_cell_of_its_newest_run() -> None:
    old = run("2026-01-01", cell("a", Verdict.WRONG), cell("b", Verdict.PASS))
    new = run(
        "2026-02-02", cell("a", Verdict.PASS), cell("c", Verdict.UNJUDGED, f"{NO_TWIN}a malformed file")
    )
    text = twins_page.text([new, old])
    assert "**2 of 2 twins passed.**" in text
    side = PRISTINE.removesuffix(" pristine")
    assert f"| {side} | flux-small | 2 | 2 | 1 |" in text
    assert f"| {side} | 1 | a malformed file |" in text
    assert "| `sdcpp study twins of 2026-01-01` | 2026-01-01 | a processor | 32 |" in text
    assert "Twins that fail" not in text


def test_the_page_names_twins_that_fail_and_has_no_empty_table() -> None:
    bad = cell("a", Verdict.WRONG, "a | b <i>\nmore")
    text = twins_page.text([run("2026-01-01", bad, cell("b", Verdict.PASS))])
    assert "**1 of 2 twins passed.**" in text
    assert "| 2 | **1** | 0 |" in text
    assert "`a@auto` | WRONG | a \\| b &lt;i> |" in text
    assert "without a twin" not in text


def test_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twins_page, "FOLDER", tmp_path)
    with pytest.raises(NothingTried, match="no run of the twins is recorded"):
        twins_page.recorded()


def test_the_committed_page_is_that_of_the_records() -> None:
    assert twins_page.PAGE.read_text(encoding="utf-8") == twins_page.text(twins_page.recorded())
