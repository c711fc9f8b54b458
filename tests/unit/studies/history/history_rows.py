"""Rows of the history with one judgement, for tests."""

from __future__ import annotations

from harness.records.verdict import Verdict
from harness.studies.history import run
from harness.studies.history.run import HistoryJudgement, HistoryRow
from sdcpp.source import revision

#: The sdists of each upstream commit, oldest commit first.
GROUPS = run.commits(revision.load())

#: The newest sdist of each commit.
NAMES = [group[-1].name for group in GROUPS]


def row(name: str, verdict: Verdict = Verdict.PASS, case: str = "rank-1", **more: object) -> HistoryRow:
    """Return the row of a revision with one judgement: of ``case``, on the pristine side, in mode immediately."""
    judged = HistoryJudgement(
        side="pristine", case=case, mode="immediately", verdict=verdict, evidence="so <it> is"
    )
    facts = {"modes": ["immediately"], "cases": [case], "machine": {"cores": "2", "processor": "x"}, **more}
    return HistoryRow(revision=name, commit="c" * 40, base="sd1", judgements=[judged], **facts)  # type: ignore[arg-type]
