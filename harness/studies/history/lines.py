"""Lines about the history's records, for the terminal and for the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from harness.records.verdict import Verdict
from harness.studies.history.run import HistoryJudgement, HistoryRow
from harness.studies.history.survey import SurveyedSdist
from sdcpp.source.revision import Revision


def verdict_text(verdict: Verdict) -> str:
    """Return a verdict in lower case; PASS is "ok"."""
    return "ok" if verdict is Verdict.PASS else verdict.lower().replace("_", " ")


def judgement_text(judged: HistoryJudgement) -> str:
    """Return the verdict of a judgement, with the effect error if it is WRONG."""
    error = f" {judged.error:.2f}" if judged.verdict is Verdict.WRONG and judged.error is not None else ""
    return verdict_text(judged.verdict) + error


def commit_text(group: Sequence[Revision]) -> str:
    """Return the revision that stands for a commit, with the commit and its date."""
    last = group[-1]
    return f"{last.name} ({last.short_commit}, {last.date})"


def row_summary(row: HistoryRow) -> str:
    """Return one line about a row: the count of each verdict, and the seconds of each step."""
    if row.failed:
        return f"{row.revision}: failed: {row.failed}"
    sides = []
    for side in dict.fromkeys(j.side for j in row.judgements):
        counts = Counter(j.verdict for j in row.judgements if j.side == side)
        texts = (f"{count} {verdict_text(verdict)}" for verdict, count in counts.most_common())
        sides.append(f"{side} " + ", ".join(texts))
    times = ", ".join(f"{name} {value:.0f} s" for name, value in row.seconds.items())
    problem = f"cannot be judged: {'; '.join(row.complaints)}: " if row.complaints else ""
    return f"{row.revision}: {problem}{'; '.join(sides)} ({times})"


def row_verdicts(row: HistoryRow) -> Iterator[str]:
    """Yield the summary of a row that failed or cannot be judged, and one line for each judgement."""
    if row.failed or row.complaints:
        yield row_summary(row)
    for judged in row.judgements:
        name = f"{row.revision} {judged.side:8} {judged.case}@{judged.mode}"
        yield f"{name}: {judgement_text(judged)} {judged.evidence}".rstrip()


def survey_line(entry: SurveyedSdist) -> str:
    """Return one line about an sdist: its calling convention, and the states of the patches."""
    states = ", ".join(f"{name} {state}" for name, state in entry.patches.items())
    return f"{entry.revision}: {entry.binding.get('convention') or entry.unbound}; {states}"
