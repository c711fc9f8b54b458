from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cli import runs
from harness.cli.main import main
from harness.cli.study import twins as command
from harness.records import record
from harness.records.record import Cell
from harness.records.verdict import Status, Verdict
from harness.studies.conversion import twins
from harness.studies.conversion.twins import NO_TWIN
from tests.unit.example_records import records_of

PRISTINE = "2026-05 pristine"


def cell(name: str, verdict: Verdict, evidence: str = "") -> Cell:
    return Cell(
        side=PRISTINE,
        case=name,
        dimensions={"base": "x", "mode": "auto"},
        verdict=verdict,
        status=Status.PASS,
        evidence=evidence,
    )


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Replace what builds and runs; ``cases`` and ``cells`` of the result can be set."""
    made = SimpleNamespace(cases=[], cells=[], side=SimpleNamespace(label=PRISTINE))

    @contextmanager
    def sides(*_: object) -> Iterator[list[Any]]:
        yield [made]

    monkeypatch.setattr(runs, "all_sides", sides)
    monkeypatch.setattr(runs, "require_selection", lambda *_: ["full"])
    monkeypatch.setattr(twins, "twins", lambda build, _: build)
    monkeypatch.setattr(command, "run_sides", lambda builds, *_, **__: records_of(*builds[0].cells))
    return made


@pytest.mark.parametrize(("verdict", "status"), [(Verdict.PASS, 0), (Verdict.WRONG, 1)])
def test_the_exit_status_says_whether_every_twin_passes(
    study: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], verdict: Verdict, status: int
) -> None:
    study.cases = ["a case"]
    study.cells = [cell("b", verdict), cell("a", Verdict.UNJUDGED, f"{NO_TWIN}no name reaches it")]
    assert main(["study", "twins", "--revision", "2026-07", "--output", str(tmp_path)]) == status
    said = capsys.readouterr().out
    assert "1 twin, " in said
    assert "no twin: 1 cell: no name reaches it" in said
    assert ("x b@auto: WRONG" in said) == bool(status)
    small = record.read(tmp_path / command.COMPACT)
    assert [(each.case, each.verdict) for each in small.cells] == [("b", verdict), ("a", Verdict.UNJUDGED)]
    assert twins.reason(small.cells[1]) == "no name reaches it"


def test_a_selection_without_failing_cells_runs_nothing(
    study: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not study.cases
    assert main(["study", "twins", "--revision", "2026-07", "--output", str(tmp_path)]) == 0
    assert "0 twins, 0 passed, 0 failing cells without a twin" in capsys.readouterr().out


def test_the_recorded_results_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "twins", "--recorded"]) == 0
    assert "| revision | base model | twins | passed | no twin |" in capsys.readouterr().out
