from __future__ import annotations

import pytest

from harness.records.verdict import Verdict, worse

GOOD, DEAD, LOST = Verdict.PASS, Verdict.ABORT, Verdict.NO_EFFECT


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (GOOD, Verdict.WRONG, True),
        (GOOD, Verdict.UNSUPPORTED, True),
        (LOST, DEAD, True),
        (Verdict.REFUSED, Verdict.TIMEOUT, True),
        (DEAD, Verdict.TIMEOUT, False),
        (DEAD, LOST, False),
        (LOST, Verdict.WRONG, False),
        (DEAD, DEAD, False),
        (DEAD, GOOD, False),
        (GOOD, Verdict.UNJUDGED, True),
        (LOST, Verdict.UNJUDGED, True),
        (DEAD, Verdict.UNJUDGED, False),
        (Verdict.UNJUDGED, Verdict.UNSUPPORTED, False),
        (Verdict.UNJUDGED, DEAD, False),
        (GOOD, Verdict.UNSTABLE, False),
        (Verdict.UNSTABLE, DEAD, False),
    ],
)
def test_a_worse_verdict_is_a_regression(before: Verdict, after: Verdict, expected: bool) -> None:
    assert worse(before, after) is expected
