from __future__ import annotations

from harness.reports.family_cells import family_cells
from tests.unit.combined_records import combine_runs, machine


def test_other_base_models_are_left_out() -> None:
    assert family_cells(combine_runs(machine("cpu", "A processor"))) == {}
