"""Text about the records of the history: when verdicts changed, and how they compare with known defects."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from harness.cases.core import CORE_CASES
from harness.records.verdict import NOT_JUDGED, Verdict
from harness.studies.history import defects
from harness.studies.history.lines import commit_text, judgement_text, verdict_text
from harness.studies.history.run import HistoryJudgement, HistoryRow
from sdcpp.source.revision import Revision

Groups = Sequence[Sequence[Revision]]


def changes(rows: Mapping[str, HistoryRow], groups: Groups) -> Iterator[str]:
    """Yield a Markdown list for each case: each change of its verdict from one tested commit to the next."""
    run = [group for group in groups if group[-1].name in rows and not rows[group[-1].name].failed]
    for case in CORE_CASES:
        lines = []
        for mode in ("immediately", "at_runtime"):
            upstream = list(_steps(("pristine", case, mode), rows, run, groups))
            patched = [
                text for text in _steps(("patched", case, mode), rows, run, groups) if text not in upstream
            ]
            lines += [f"- {mode}: {text}" for text in upstream]
            lines += [f"- {mode}, with GGUF files found: {text}" for text in patched]
        yield from (
            f"### {case}",
            "",
            *(lines or ["- the verdict is the same in all revisions that were run"]),
            "",
        )


def failing(rows: Mapping[str, HistoryRow], groups: Groups) -> Iterator[str]:
    """Yield a Markdown table of the cases: in which revisions each fails in upstream, unchanged, in each mode."""
    run = [group[-1].name for group in groups if group[-1].name in rows and not rows[group[-1].name].failed]
    yield "| case | what it tests | fails in `immediately` | fails in `at_runtime` |"
    yield "| --- | --- | --- | --- |"
    for case, spec in CORE_CASES.items():
        modes = (_failures(case, mode, rows, run) for mode in ("immediately", "at_runtime"))
        yield f"| `{case}` | {spec} | {' | '.join(', '.join(spells) or '–' for spells in modes)} |"


def _failures(case: str, mode: str, rows: Mapping[str, HistoryRow], run: Sequence[str]) -> Iterator[str]:
    """Yield each verdict other than PASS with the first and the last revision that has it, oldest first."""
    judged = [(name, found) for name in run if (found := rows[name].judged("pristine", case, mode))]
    for verdict, spell in itertools.groupby(judged, key=lambda pair: pair[1].verdict):
        names = [name for name, _ in spell]
        last = "now" if names[-1] == run[-1] else names[-1]
        if verdict is not Verdict.PASS:
            yield f"{verdict_text(verdict)} in {names[0]}" + (f" to {last}" if len(names) > 1 else "")


def _steps(
    key: tuple[str, str, str], rows: Mapping[str, HistoryRow], run: Groups, groups: Groups
) -> Iterator[str]:
    """Yield each change of the verdict on ``key``, a tuple of side, case and mode, oldest commit first."""
    before: tuple[Sequence[Revision], HistoryJudgement] | None = None
    for group in run:
        judged = rows[group[-1].name].judged(*key)
        if judged is None:
            continue
        if before and before[1].verdict is not judged.verdict:
            skipped = [g[-1].name for g in groups[groups.index(before[0]) + 1 : groups.index(group)]]
            between = f" ({len(skipped)} of the commits between them not run)" if skipped else ""
            evidence = next((line for line in judged.evidence.splitlines() if line), "")
            quote = f": `{evidence}`" if evidence else ""
            old, new = verdict_text(before[1].verdict), verdict_text(judged.verdict)
            yield f"{old} in {commit_text(before[0])}, {new} in {commit_text(group)}{between}{quote}"
        before = group, judged


def compared(rows: Mapping[str, HistoryRow], groups: Groups) -> Iterator[str]:
    """Yield a Markdown table: for each known defect, the revisions that its sources confirm or contradict."""
    yield "| defect | said to be in | records that agree | records that do not |"
    yield "| --- | --- | --- | --- |"
    names = [group[-1].name for group in groups]
    for defect in defects.KNOWN:
        agree, others = [], []
        for index, group in enumerate(groups):
            row = rows.get(group[-1].name)
            judged = defect.judged(row) if row else None
            if judged is None or judged.verdict in NOT_JUDGED:
                continue
            failed, claimed = judged.verdict is not Verdict.PASS, defect.covers(index, names)
            if failed and not claimed and any(d.covers(index, names) for d in defects.alike(defect)):
                continue  # another defect makes the same case fail
            if failed == claimed:
                agree.append(group[-1].name)
            else:
                others.append(f"{group[-1].name}: {judgement_text(judged)}")
        last = defect.last or "now"
        yield (
            f"| {defect.what} (`{defect.case}`, {defect.side}) | {defect.first} to {last} | "
            f"{len(agree)} of {len(agree) + len(others)} | {'; '.join(others) or 'none'} |"
        )


def unexpected(rows: Mapping[str, HistoryRow], groups: Groups) -> Iterator[str]:
    """Yield Markdown lines about the failures of the pristine library that no known defect explains."""
    names = [group[-1].name for group in groups]
    failures: dict[str, list[str]] = {}
    for index, group in enumerate(groups):
        row = rows.get(group[-1].name)
        for judged in row.judgements if row else ():
            known = (d for d in defects.KNOWN if d.explains(judged) and d.covers(index, names))
            failed = judged.verdict is not Verdict.PASS and judged.verdict not in NOT_JUDGED
            if judged.side == "pristine" and failed and next(known, None) is None:
                failure = f"`{judged.case}`, {judged.mode}: {verdict_text(judged.verdict)}"
                failures.setdefault(failure, []).append(group[-1].name)
    yield (
        "These failures of upstream are no defect of the table:"
        if failures
        else "No other case fails in upstream."
    )
    if failures:
        yield ""
        yield from (f"- {failure} in {', '.join(where)}" for failure, where in failures.items())
