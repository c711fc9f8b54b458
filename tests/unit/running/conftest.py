"""Fixtures of the tests of workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cases.shot_request import ShotRequest

GENERATION = {"prompt": "a cat", "width": 8, "height": 4, "steps": 1, "seed": 1}


@pytest.fixture
def request_of_nothing(model: Path, tmp_path: Path) -> ShotRequest:
    """Return a request for a picture without an adapter."""
    return ShotRequest(
        files={"model": model},
        mode="at_runtime",
        lora_dir=tmp_path,
        fresh=False,
        sequence=((),),
        generation=GENERATION,
    )
