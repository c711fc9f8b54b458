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
from harness.records.verdict import Verdict
from harness.studies.conversion import twins
from harness.studies.conversion.twins import NotConvertible, Twins

SIDE = SimpleNamespace(label="2026-07 pristine")


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Replace what builds and runs; ``cases`` and ``cells`` of the result can be set."""
    made = SimpleNamespace(cases=[], cells=[], side=SIDE)

    @contextmanager
    def sides(*_: object) -> Iterator[list[Any]]:
        yield [made]

    none = NotConvertible(case="flux-small/a@auto", verdict=Verdict.WRONG, reason="no name reaches it")
    monkeypatch.setattr(runs, "all_sides", sides)
    monkeypatch.setattr(runs, "require_selection", lambda *_: ["full"])
    monkeypatch.setattr(twins, "twins", lambda build, _: Twins(build=build, without=[none]))
    monkeypatch.setattr(command, "run_sides", lambda builds, *_, **__: SimpleNamespace(cells=builds[0].cells))
    return made


@pytest.mark.parametrize(("verdict", "status"), [(Verdict.PASS, 0), (Verdict.WRONG, 1)])
def test_the_exit_status_says_whether_every_twin_passes(
    study: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], verdict: Verdict, status: int
) -> None:
    study.cases = ["a case"]
    study.cells = [
        SimpleNamespace(
            side=SIDE.label, case="twin of b", verdict=verdict, dimensions={"base": "x", "mode": "auto"}
        )
    ]
    assert main(["study", "twins", "--revision", "2026-07", "--output", str(tmp_path)]) == status
    said = capsys.readouterr().out
    assert "1 twin, " in said
    assert "no twin: 1 cell: no name reaches it" in said
    assert ("x twin of b@auto: WRONG" in said) == bool(status)


def test_cells_without_any_twin_are_listed(
    study: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not study.cases
    assert main(["study", "twins", "--revision", "2026-07", "--output", str(tmp_path)]) == 0
    assert "0 twins, 0 passed, 1 failing cell without a twin" in capsys.readouterr().out
