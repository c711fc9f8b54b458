"""The page of the history, docs/history.md with its chart, made of the records alone."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness.cases.core import CORE_CASES
from harness.records.verdict import Verdict
from harness.studies.history import chart, defects
from harness.studies.history.run import HistoryJudgement, HistoryRow
from harness.studies.history.survey import SurveyedSdist
from sdcpp import atomic_write, project
from sdcpp.source.revision import Revision

PAGE = project.ROOT / "docs" / "history.md"
CHART = PAGE.with_suffix(".svg")

Groups = Sequence[Sequence[Revision]]
Surveys = Mapping[str, SurveyedSdist]

_WORDS = {
    Verdict.PASS: "ok",
    Verdict.NO_EFFECT: "no effect",
    Verdict.WRONG: "wrong",
    Verdict.ABORT: "abort",
    Verdict.TIMEOUT: "timeout",
    Verdict.REFUSED: "refused",
    Verdict.UNJUDGED: "not judged",
}
_INTRODUCTION = """\
# History

Which change of stable-diffusion.cpp broke or mended the loading of LoRAs, from the upstream commits that the
registry's sdists carry. Each was fetched by hash, built for the CPU as upstream has it and with the patch that lets a
GGUF file be found, and put to the same core cases. The page and its chart are made of the records in
[results/history](../results/history) by `sdcpp history --docs`; one row is run again by
`sdcpp history --revision NAME --again`.
"""

_NOT_ASKED = """\
Not asked: kohya's names of flux layers (issue 1092, said to be in 0.3.7 to 0.4.2), because the small flux model is for
0.4.4 and later only; and a multiplier that is no number (said to end the process up to 0.4.1)."""


def write(rows: Mapping[str, HistoryRow], groups: Groups, surveys: Surveys) -> tuple[Path, Path]:
    """Write the page and its chart and return their paths; ``groups`` are the revisions of each upstream commit."""
    atomic_write.write(PAGE, page(rows, groups, surveys))
    atomic_write.write(CHART, chart.svg(rows, groups))
    return PAGE, CHART


def summary(row: HistoryRow) -> str:
    """Return one line on a row: how many of each verdict, and how long it took."""
    if row.failed:
        return f"{row.revision}: failed: {row.failed}"
    sides = []
    for side in dict.fromkeys(j.side for j in row.judgements):
        counts = Counter(j.verdict for j in row.judgements if j.side == side)
        sides.append(f"{side} " + ", ".join(f"{count} {_WORDS[v]}" for v, count in counts.most_common()))
    times = ", ".join(f"{name} {value:.0f} s" for name, value in row.seconds.items())
    return f"{row.revision}: {'; '.join(sides)} ({times})"


def verdicts(row: HistoryRow) -> Iterator[str]:
    """Yield one line a judgement of a row, or why there are none."""
    if row.failed:
        yield summary(row)
    for judged in row.judgements:
        put = f"{row.revision} {judged.side:8} {judged.case}@{judged.mode}"
        yield f"{put}: {_word(judged)} {judged.evidence}".rstrip()


def surveyed(entry: SurveyedSdist) -> str:
    """Return one line on an sdist: how it is called, and what became of the patches."""
    states = ", ".join(f"{name} {state}" for name, state in entry.patches.items())
    return f"{entry.revision}: {entry.binding.get('convention') or entry.unbound}; {states}"


def page(rows: Mapping[str, HistoryRow], groups: Groups, surveys: Surveys) -> str:
    """Return the page as Markdown."""
    run = [group for group in groups if group[-1].name in rows]
    parts = [
        _INTRODUCTION,
        f"The registry has {sum(map(len, groups))} sdists of {len(groups)} upstream commits; {len(run)} have been "
        f"run. Where several sdists carry one commit, the last stands for all.{_left(groups, run)}",
        "",
        "![Verdicts by revision and case](history.svg)",
        "",
        "## What is asked",
        "",
        *(f"- `{case}`: {spec}" for case, spec in CORE_CASES.items()),
        "",
        "What a picture should be is computed by merging the adapter into the base model with numpy; the number behind "
        "*wrong* is the effect error, 1 being what a missing adapter scores. The base model is the smallest that the "
        "revision loads. Revisions before 2025-11-22 apply adapters immediately only.",
        "",
        "## As upstream has it",
        "",
        *_table("pristine", rows, groups),
        "",
        "## With GGUF files found",
        "",
        *_table("patched", rows, groups),
        "",
        "",
        "## How each is called, and the patches on it",
        "",
        *_surveys(groups, surveys),
        "",
        "## When each case broke, and when it was mended",
        "",
        *_changes(rows, groups),
        "",
        "## Compared with what upstream's issues say",
        "",
        *_compared(rows, groups),
        "",
        *_unexpected(rows, groups),
        "",
        _NOT_ASKED,
        "",
        "## What it cost",
        "",
        *_cost(rows, groups),
    ]
    return "\n".join(parts) + "\n"


def _left(groups: Groups, run: Groups) -> str:
    """Return why there are rows without a verdict, or nothing if there are none."""
    left = len(groups) - len(run)
    if not left:
        return ""
    return f" The other {left} have no record yet; `sdcpp history` goes on with them, newest first."


def _named(group: Sequence[Revision]) -> str:
    last = group[-1]
    return f"{last.name} ({(last.commit or '')[:7]}, {last.date})"


def _table(side: str, rows: Mapping[str, HistoryRow], groups: Groups) -> Iterator[str]:
    """Yield a table of one side, newest commit first: immediately, then at run time where it differs."""
    yield "| sdists | upstream commit | " + " | ".join(CORE_CASES) + " |"
    yield "|" + " --- |" * (len(CORE_CASES) + 2)
    for group in reversed(groups):
        last, row = group[-1], rows.get(group[-1].name)
        sdists = ", ".join(revision.name for revision in group)
        sure = " (inferred)" if all(r.evidence == "inferred" for r in group) else ""
        head = f"| {sdists} | {last.date} `{(last.commit or '')[:7]}`{sure} |"
        if row is None or row.failed:
            why = "not run" if row is None else f"failed: {row.failed.splitlines()[0]}"
            yield f"{head} {why} |" + " |" * (len(CORE_CASES) - 1)
        else:
            yield f"{head} " + " | ".join(_cell(row, side, case) for case in CORE_CASES) + " |"


def _cell(row: HistoryRow, side: str, case: str) -> str:
    found = [judged for mode in row.modes if (judged := row.judged(side, case, mode))]
    words = [_word(judged) for judged in found]
    return " / ".join(words if len(set(words)) > 1 else words[:1]) or "not asked"


def _word(judged: HistoryJudgement) -> str:
    error = f" {judged.error:.2f}" if judged.verdict is Verdict.WRONG and judged.error is not None else ""
    return _WORDS[judged.verdict] + error


def _surveys(groups: Groups, surveys: Surveys) -> Iterator[str]:
    """Yield a table of bindings and patches' states, newest commit first, and what sdists of one commit share."""
    yield (
        "Each header was read and, with every struct, enumerator and prototype, confirmed by the compiler "
        "(`sdcpp history --survey`); what is not confirmed is not called. The classes are those of `sdcpp/api`."
    )
    yield ""
    names = list(dict.fromkeys(name for entry in surveys.values() for name in entry.patches))
    yield "| sdists | called by | arguments of new_sd_ctx | confirmed | " + " | ".join(names) + " |"
    yield "|" + " --- |" * (len(names) + 4)
    for group in reversed(groups):
        entry, sdists = surveys.get(group[-1].name), ", ".join(revision.name for revision in group)
        if entry is None:
            yield f"| {sdists} | not examined |" + " |" * (len(names) + 2)
            continue
        found = entry.binding
        confirmed = (
            f"{found['functions']} functions, {found['structs']} structs, {found['enumerators']} enumerators"
            if found
            else entry.unbound.splitlines()[0]
        )
        states = " | ".join(entry.patches.get(name, "") for name in names)
        called, count = found.get("convention", "nothing"), found.get("context_arguments", "")
        yield f"| {sdists} | {called} | {count} | {confirmed} | {states} |"
    yield ""
    for group in groups:
        trees = {entry.tree for one in group if (entry := surveys.get(one.name))}
        if len(group) > 1 and all(one.name in surveys for one in group):
            same = "hold the same files" if len(trees) == 1 else "say so, but do not hold the same files"
            yield f"- {', '.join(one.name for one in group)}: of commit `{(group[0].commit or '')[:7]}`, {same}."


def _changes(rows: Mapping[str, HistoryRow], groups: Groups) -> Iterator[str]:
    """Yield what changed for each case from one revision that was run to the next."""
    run = [group for group in groups if group[-1].name in rows and not rows[group[-1].name].failed]
    for case in CORE_CASES:
        lines = []
        for mode in ("immediately", "at_runtime"):
            upstream = list(_steps(("pristine", case, mode), rows, run, groups))
            found = [
                text for text in _steps(("patched", case, mode), rows, run, groups) if text not in upstream
            ]
            lines += [f"- {mode}: {text}" for text in upstream]
            lines += [f"- {mode}, with GGUF files found: {text}" for text in found]
        yield from (f"### {case}", "", *(lines or ["- the same verdict in all revisions that were run"]), "")


def _steps(
    put: tuple[str, str, str], rows: Mapping[str, HistoryRow], run: Groups, groups: Groups
) -> Iterator[str]:
    """Yield each change of the verdict on a case, a side and a mode: side, case, mode."""
    before: tuple[Sequence[Revision], HistoryJudgement] | None = None
    for group in run:
        judged = rows[group[-1].name].judged(*put)
        if judged is None:
            continue
        if before and before[1].verdict is not judged.verdict:
            skipped = [g[-1].name for g in groups[groups.index(before[0]) + 1 : groups.index(group)]]
            between = f" ({len(skipped)} of the commits between them not run)" if skipped else ""
            evidence = next((line for line in judged.evidence.splitlines() if line), "")
            said = f": `{evidence}`" if evidence else ""
            yield (
                f"{_WORDS[before[1].verdict]} in {_named(before[0])}, {_WORDS[judged.verdict]} in {_named(group)}"
                f"{between}{said}"
            )
        before = group, judged


def _compared(rows: Mapping[str, HistoryRow], groups: Groups) -> Iterator[str]:
    """Yield, defect by defect, whether the records agree with the versions that upstream's issues and log give."""
    yield "| defect | said to be in | records that agree | surprises |"
    yield "| --- | --- | --- | --- |"
    names = [group[-1].name for group in groups]
    for defect in defects.KNOWN:
        agree, surprises = [], []
        for place, group in enumerate(groups):
            row = rows.get(group[-1].name)
            judged = defect.judged(row) if row else None
            if judged is None:
                continue
            red, said = judged.verdict is not Verdict.PASS, defect.covers(place, names)
            if red and not said and any(other.covers(place, names) for other in defects.alike(defect)):
                continue  # another defect shows in the same case
            if red == said:
                agree.append(group[-1].name)
            else:
                surprises.append(f"{group[-1].name}: {_word(judged)}")
        last = defect.last or "now"
        yield (
            f"| {defect.what} (`{defect.case}`, {defect.side}) | {defect.first} to {last} | "
            f"{len(agree)} of {len(agree) + len(surprises)} | {'; '.join(surprises) or 'none'} |"
        )


def _unexpected(rows: Mapping[str, HistoryRow], groups: Groups) -> Iterator[str]:
    """Yield what fails as upstream has it, and is none of the defects known."""
    names = [group[-1].name for group in groups]
    found: dict[str, list[str]] = {}
    for place, group in enumerate(groups):
        row = rows.get(group[-1].name)
        for judged in row.judgements if row else ():
            known = (d for d in defects.KNOWN if d.explains(judged) and d.covers(place, names))
            if judged.side == "pristine" and judged.verdict is not Verdict.PASS and next(known, None) is None:
                put = f"`{judged.case}`, {judged.mode}: {_WORDS[judged.verdict]}"
                found.setdefault(put, []).append(group[-1].name)
    yield "Failing in upstream, and none of these:" if found else "Nothing else fails in upstream."
    if found:
        yield ""
        yield from (f"- {put} in {', '.join(where)}" for put, where in found.items())


def _cost(rows: Mapping[str, HistoryRow], groups: Groups) -> Iterator[str]:
    """Yield what each revision took, and the sum for each kind of machine that ran any."""
    run = [rows[group[-1].name] for group in reversed(groups) if group[-1].name in rows]
    yield "| revision | base model | cores | fetch | build, both sides | run | sum |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    sums: dict[str, list[float]] = {}
    for row in run:
        steps = [row.seconds.get(name, 0.0) for name in ("fetch", "build", "run")]
        sums.setdefault(row.machine["cores"], []).append(sum(steps))
        cells = " | ".join(f"{value:.0f} s" for value in (*steps, sum(steps)))
        yield f"| {row.revision} | {row.base} | {row.machine['cores']} | {cells} |"
    yield ""
    for cores, each in sums.items():
        yield (
            f"- {cores} cores: {len(each)} revisions in {sum(each) / 60:.0f} minutes, counted one after the other; "
            f"median {statistics.median(each):.0f} s, most {max(each):.0f} s."
        )
    yield ""
    yield (
        "The compiler's cache is shared between neighbours; fetch is the unpacking where the sdist was there. Wall "
        "time: what else a machine does at the time is in it."
    )
