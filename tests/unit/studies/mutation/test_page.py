from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.records.verdict import Verdict
from harness.studies.mutation import generated, kill_matrix, mutants, page
from harness.studies.mutation.outcome import Outcome, State
from sdcpp import project
from sdcpp.errors import CheckoutNeeded
from tests.unit.studies.mutation.mutant_records import cell

MUTANTS = mutants.load()


def test_the_page_is_made_from_the_stored_rows_and_has_every_mutant() -> None:
    rows = page.read()
    every = mutants.load_all()
    matrices = kill_matrix.read_all(generated.reasons())
    assert page.PAGE.read_text(encoding="utf-8") == page.page(rows, every, matrices), f"run `{page.COMMAND}`"
    assert [(row.revision, row.mutant) for row in rows] == [
        (mutant.revision, mutant.name) for mutant in every
    ]


def test_rows_are_read_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "PAGE", tmp_path / "docs" / "mutants.md")
    monkeypatch.setattr(page, "RESULTS", tmp_path / "results" / "mutants.json")
    cells = (cell("a", Verdict.WRONG, 0.123456), cell("b", Verdict.NO_EFFECT))
    caught = Outcome(mutant=MUTANTS[0], state=State.CAUGHT, cells=cells, date="2026-01-02")
    rows = [page.page_row(outcome) for outcome in (caught, Outcome(mutant=MUTANTS[1], state=State.NOT_RUN))]
    results, written = page.write(rows)
    assert page.read(results) == rows
    other = page.PageRow(
        mutant=mutants.of_revision("2026-07")[0].name, state=State.NOT_RUN, revision="2026-07"
    )
    page.write([other])
    assert page.read(results) == [*rows, other]
    page.write(rows)
    assert page.read(results) == [*rows, other]
    page.write([rows[1]])
    assert page.read(results) == [*rows, other]
    assert rows[0].first == rows[0].strongest
    assert rows[0].first is not None
    assert rows[0].first.error == 0.1235
    assert "1 of the 2 mutants have not been run yet" in written.read_text(encoding="utf-8")


def test_an_installed_sdcpp_writes_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "INSTALLED", True)
    with pytest.raises(CheckoutNeeded, match="clone the project"):
        page.write([])


def test_the_table_has_a_row_for_each_outcome() -> None:
    outcomes = [
        Outcome(
            mutant=MUTANTS[0], state=State.CAUGHT, cells=(cell("a", Verdict.WRONG, 0.5),), date="2026-01-02"
        ),
        Outcome(mutant=MUTANTS[1], state=State.SURVIVED),
        Outcome(mutant=replace(MUTANTS[2], control=True), state=State.SILENT),
    ]
    known = [*MUTANTS[:2], replace(MUTANTS[2], control=True)]
    text = page.page([page.page_row(outcome) for outcome in outcomes], known)
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [m.name for m in MUTANTS[:3]]
    assert "`a@auto` small: WRONG 0.5 > 0.04" in rows[0]
    assert "| **survived** |" in rows[1]
    assert "| silent |" in rows[2]
    assert "1 of the 2 mistakes tried" in text
    assert "are caught, 1 of the 1 controls are not reported." in text
