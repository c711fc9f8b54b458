from __future__ import annotations

import pytest

from harness.records.change import ChangeKind
from harness.records.verdict import Verdict
from harness.reports import change_comment
from harness.reports.change_verdict import ChangedCase, ChangeVerdict, Outcome


def case(number: int, kind: ChangeKind = ChangeKind.FIXED) -> ChangedCase:
    return ChangedCase(kind=kind, case=f"case-{number}@auto", base="", before=None, after=Verdict.PASS)


def test_the_comment_lists_some_cases_and_counts_the_others() -> None:
    verdict = ChangeVerdict(
        outcome=Outcome.JUDGED, status=0, fixed=40, unchanged=2, cases=tuple(map(case, range(40)))
    )
    text = change_comment.render(verdict, "https://github.com/o/n/actions/runs/1")
    said = "**LoRA loading: the change makes nothing worse: 40 fixed, 0 regressed, 2 unchanged.**"
    assert text.startswith(f"{change_comment.MARK}\n{said}\n")
    assert text.count("| fixed |") == change_comment.CASES
    assert "| 10 more cases in the report |" in text
    assert "(https://github.com/o/n/actions/runs/1)" in text


def test_cases_that_did_not_run_are_not_said_to_have_run() -> None:
    verdict = ChangeVerdict(outcome=Outcome.JUDGED, status=0, unchanged=7, same=7)
    said = "0 regressed, 7 unchanged (not run: both states compile to the same objects)"
    assert change_comment.headline(verdict).endswith(said)


@pytest.mark.parametrize(
    ("outcome", "status", "said"),
    [
        (Outcome.NOTHING, 60, "nothing to compare"),
        (Outcome.FAILED, 31, "was not judged: one of the two states does not build"),
        (Outcome.FAILED, 99, "was not judged: `sdcpp verify` ended with exit status 99"),
        (Outcome.NOT_JUDGED, 63, "cannot be judged: 0 fixed"),
    ],
)
def test_what_was_not_judged_is_never_called_good(outcome: Outcome, status: int, said: str) -> None:
    assert said in change_comment.render(ChangeVerdict(outcome=outcome, status=status), "")


def test_a_change_without_effect_is_no_news() -> None:
    judged = ChangeVerdict(outcome=Outcome.JUDGED, status=0, unchanged=9)
    assert not change_comment.is_news(judged)
    assert not change_comment.is_news(ChangeVerdict(outcome=Outcome.NOTHING, status=60))
    assert change_comment.is_news(ChangeVerdict(outcome=Outcome.FAILED, status=31))
