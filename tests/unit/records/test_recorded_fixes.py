"""The records of the model families show what the patches say that they fix there, which no other test runs."""

from __future__ import annotations

from functools import cache

import pytest

from harness.models.families.catalogue import FAMILIES
from harness.records import record
from harness.records.record import Cell
from harness.records.verdict import Verdict
from sdcpp import project
from sdcpp.patching import series
from sdcpp.patching.patch_file import Fix

REVISION = "2026-07"
#: Base models whose records are older than the cases of their outer layers.
OLDER = ("chroma-radiance", "ideogram4")
FIXES = [
    (patch.name, fix)
    for patch in series.load()
    if REVISION in patch.revisions
    for fix in patch.fixes
    if fix.base in FAMILIES and not (fix.base in OLDER and fix.case.startswith("lora-outer-"))
]


@cache
def cells() -> dict[tuple[str, str, str], Cell]:
    """Return the recorded cells by side, base model, and case@mode."""
    return {
        (cell.side, cell.dimensions["base"], f"{cell.case}@{cell.dimensions['mode']}"): cell
        for path in (project.ROOT / "results" / "families").glob("*.jsonl.gz")
        for cell in record.read(path).cells
    }


@pytest.mark.parametrize(("patch", "fix"), FIXES, ids=lambda value: str(getattr(value, "case", value)))
def test_red_without_and_right_with_the_series(patch: str, fix: Fix) -> None:
    before, after = (cells()[f"{REVISION} {side}", fix.base, fix.case] for side in ("pristine", "patched"))
    assert str(before.verdict) == fix.verdict, patch
    assert after.verdict is Verdict.PASS, patch


def test_there_are_fixes_of_many_families() -> None:
    assert len({fix.base for _, fix in FIXES}) > 15
