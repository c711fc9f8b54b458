"""Tests of what the cases of a patch say about a source without it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.records.record import Cell
from harness.records.verdict import Status, Verdict
from harness.verification import own_cases
from sdcpp.patching import patch_file
from sdcpp.patching.patch_file import Patch
from sdcpp.patching.state import PatchState, State
from sdcpp.source import revision

DIFF = "diff --git a/x.cpp b/x.cpp\n--- a/x.cpp\n+++ b/x.cpp\n@@ -1 +1 @@\n-old\n+new\n"


def form(name: str, label: str, notes: str) -> Patch:
    text = f"From: a <a@b>\nSubject: [PATCH] fix: it\n\nWhy.\n\n---\n{notes}\n\n{DIFF}"
    return patch_file.parse(text.encode(), Path(name) / f"{label}.patch", name)


TWO = "Fixes: flux-small/one@auto ABORT\nFixes: flux-small/two@auto WRONG"
OLD = form("some-fix", "2025-12", "Fixes: sd1-tiny/old@auto ABORT")
NEW = form("some-fix", "2026-05", TWO)
UNTESTED = form("other-fix", "2026-05", "Untested: it needs a GPU")


def state(patch: Patch, found: State, detail: str = "") -> PatchState:
    return PatchState(patch=patch, state=found, detail=detail, required=False)


@pytest.fixture
def verdicts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Verdict]:
    """Return the verdicts of cases by name; a case without a verdict does not exist on the source."""
    found: dict[str, Verdict] = {}

    def cells(_: object, fixes: list[patch_file.Fix], __: object) -> Iterator[Cell]:
        for fix in fixes:
            case, _, mode = fix.case.partition("@")
            if case in found:
                yield Cell(
                    side="x pristine",
                    case=case,
                    dimensions={"base": fix.base, "mode": mode},
                    verdict=found[case],
                    status=Status.PASS,
                )

    monkeypatch.setattr(own_cases, "_cells", cells)
    return found


def judged(*states: PatchState) -> list[tuple[State, str]]:
    found = own_cases.needs(revision.find("2026-05"), [OLD, NEW, UNTESTED], states, Path("unused"))
    return [(entry.state, entry.detail) for entry in found]


def test_a_patch_whose_cases_all_pass_is_no_longer_needed(verdicts: dict[str, Verdict]) -> None:
    verdicts |= {"one": Verdict.PASS, "two": Verdict.PASS}
    for found in (State.APPLIES, State.CONFLICTS, State.CODE_GONE):
        assert judged(state(NEW, found)) == [(State.NOT_NEEDED, "its 2 cases pass without it")]


def test_a_patch_with_a_case_that_fails_keeps_its_state(verdicts: dict[str, Verdict]) -> None:
    verdicts |= {"one": Verdict.PASS, "two": Verdict.WRONG}
    assert judged(state(NEW, State.CONFLICTS, "a hunk")) == [
        (State.CONFLICTS, "without it: two@auto WRONG\na hunk")
    ]


def test_the_cases_are_those_of_the_newest_form(verdicts: dict[str, Verdict]) -> None:
    verdicts |= {"old": Verdict.PASS, "one": Verdict.ABORT}
    assert judged(state(OLD, State.APPLIES)) == [(State.APPLIES, "without it: one@auto ABORT")]


def test_what_cannot_be_judged_does_not_make_a_patch_superfluous(verdicts: dict[str, Verdict]) -> None:
    said = "none of its cases can be judged on this source"
    assert judged(state(NEW, State.APPLIES)) == [(State.APPLIES, said)]
    verdicts |= {"one": Verdict.UNJUDGED, "two": Verdict.UNSUPPORTED}
    assert judged(state(NEW, State.APPLIES)) == [(State.APPLIES, said)]
    assert judged(state(UNTESTED, State.APPLIES)) == [
        (State.APPLIES, "no case shows what it fixes: it needs a GPU")
    ]


def test_a_change_that_the_source_has_is_not_judged(verdicts: dict[str, Verdict]) -> None:
    verdicts |= {"one": Verdict.PASS, "two": Verdict.PASS}
    assert judged(state(NEW, State.UPSTREAM, "there")) == [(State.UPSTREAM, "there")]
    assert judged(state(NEW, State.OTHER, "not here")) == [(State.OTHER, "not here")]
