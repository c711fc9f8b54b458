from __future__ import annotations

from dataclasses import replace

import pytest

from harness.reports import cost
from tests.unit.example_records import example

pytestmark = pytest.mark.usefixtures("cache_folder")


def test_the_cost_of_a_run_names_its_parts() -> None:
    made = example()
    made.observations = {
        key: replace(seen, seconds={"files": 1.0, "open": 1.0, "generate": 2.0}, memory=5_000_000)
        for key, seen in made.observations.items()
    }
    count = len(made.observations)
    made.finished = made.run.started
    text = cost.summary(made)
    assert text.startswith(
        f"{count} shots in 0 s; the workers spent {4 * count} s: "
        "25% creating files, 25% loading base models, 50% making pictures"
    )
    assert text.endswith("; a worker used up to 5 MB")
