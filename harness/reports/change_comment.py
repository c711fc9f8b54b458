"""The comment on a pull request: one headline, the cases that changed, and where the whole report is."""

from __future__ import annotations

from collections.abc import Sequence

from harness.records.change import ChangeKind
from harness.reports.change_verdict import ChangedCase, ChangeVerdict, Outcome
from harness.reports.markdown import code, head, row
from harness.text import plural

#: The first line of every comment, by which the comment of an earlier run is found.
MARK = "<!-- sdcpp-lora-harness -->"
#: The largest number of cases that are listed.
CASES = 30
#: What exit statuses of ``sdcpp verify`` mean for a change that was not judged.
_FAILURES = {
    20: "a patch or a merge conflicts",
    31: "one of the two states does not build",
    63: "too few cases could be judged",
}


def render(verdict: ChangeVerdict, address: str) -> str:
    """Return the comment as Markdown; ``address`` is that of the page with the whole report, or ""."""
    more = [f"[Report, pictures and logs]({address})", ""] if address else []
    return "\n".join([MARK, f"**{headline(verdict)}.**", "", *_table(verdict.cases), *more])


def headline(verdict: ChangeVerdict) -> str:
    """Return the verdict in one sentence without a full stop."""
    counts = f"{verdict.fixed} fixed, {verdict.regressed} regressed, {verdict.unchanged} unchanged"
    if verdict.same:
        counts += " (not run: both states compile to the same objects)"
    if verdict.unjudged:
        counts += f", {verdict.unjudged} not judged"
    if verdict.outcome is Outcome.NOTHING:
        return "LoRA loading: nothing to compare, because no file differs from the base"
    if verdict.outcome is Outcome.FAILED:
        why = _FAILURES.get(verdict.status, f"`sdcpp verify` ended with exit status {verdict.status}")
        return f"LoRA loading was not judged: {why}"
    if verdict.outcome is Outcome.NOT_JUDGED:
        return f"LoRA loading: the change cannot be judged: {counts}"
    return f"LoRA loading: the change makes {'something' if verdict.regressed else 'nothing'} worse: {counts}"


def is_news(verdict: ChangeVerdict) -> bool:
    """Tell whether a pull request without a comment needs one: something changed, or could not be judged."""
    silent = verdict.outcome is Outcome.NOTHING or (verdict.outcome is Outcome.JUDGED and not verdict.cases)
    return not silent


def _table(cases: Sequence[ChangedCase]) -> list[str]:
    rows = [row([_kind(case.kind), _case(case), *_verdicts(case)]) for case in cases[:CASES]]
    if not rows:
        return []
    if len(cases) > CASES:
        rows.append(row([f"{plural(len(cases) - CASES, 'more case')} in the report", "", "", ""]))
    return [*head(["", "case", "before", "after"]), *rows, ""]


def _case(case: ChangedCase) -> str:
    return f"{code(case.case)} {code(case.base)}" if case.base else code(case.case)


def _kind(kind: ChangeKind) -> str:
    return f"**{kind}**" if kind is ChangeKind.REGRESSED else str(kind)


def _verdicts(case: ChangedCase) -> list[str]:
    return [str(verdict or "–") for verdict in (case.before, case.after)]
