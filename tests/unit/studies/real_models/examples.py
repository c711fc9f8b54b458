"""A made-up attempt for tests."""

from __future__ import annotations

from harness.studies.real_models.study import Attempt

ATTEMPT = Attempt(
    base="sd1",
    revision="2026-07",
    patched=True,
    backend="cuda",
    device="a card",
    adapter="32-Q8_0",
    pixels=256,
    steps=2,
    size=2_100_000_000,
    memory=3_000_000_000,
    seconds=61.2,
    verdicts={"immediately": "PASS", "at_runtime": "PASS"},
    errors={"immediately": 0.01, "at_runtime": None},
    conclusion="works",
    problem="",
    command="sdcpp study real-models",
    date="2026-11-29",
)
