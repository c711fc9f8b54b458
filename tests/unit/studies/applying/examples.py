"""A made-up measurement for tests."""

from __future__ import annotations

from harness.studies.applying.measurement import Cost, Picture
from harness.studies.applying.study import ApplyStudy

COST = Cost(
    side="patched",
    mode="at_runtime",
    rank=16,
    kind="F16",
    size=12_000_000,
    plain=0.1,
    step=0.02,
    first=0.4,
    again=0.0,
    changed=0.3,
    step_more=0.01,
    away=0.02,
    memory=1_000_000_000,
    memory_with=1_100_000_000,
)
STUDY = ApplyStudy(
    command="sdcpp bench --apply",
    revision="2026-07",
    backend="cuda",
    device="a card",
    cores=16,
    threads=16,
    date="2026-11-29",
    base="sd1",
    layers=160,
    picture=Picture(size=512, steps=20, rounds=3),
    costs=[COST],
    floors={"16": {"load": 0.014, "merge": 0.007}},
)
