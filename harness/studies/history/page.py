"""The page docs/history.md and its chart, made from the records in results/history."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.cases.core import CORE_CASES
from harness.studies.history import changes, chart
from harness.studies.history.changes import Groups
from harness.studies.history.lines import judgement_text
from harness.studies.history.run import HistoryRow
from harness.studies.history.survey import SurveyedSdist
from harness.text import plural
from sdcpp import atomic_write, project

PAGE = project.ROOT / "docs" / "history.md"
CHART = PAGE.with_suffix(".svg")
COMMAND = "sdcpp history --write-docs"

Surveys = Mapping[str, SurveyedSdist]

_INTRODUCTION = """\
# History

Which change of stable-diffusion.cpp broke or fixed the loading of LoRAs? The chart and the table show in which
revisions each case fails. [The commits](#when-each-case-broke-and-when-it-was-fixed) between which a verdict changed
are below.
"""

_HOW = """\
The last sdist of each upstream commit in the registry, and a fork with newer code, were downloaded, checked against
their hashes and built twice for the CPU: unchanged, and with the patch that makes the library find GGUF files. Both
builds ran the same core cases.

`sdcpp history --write-docs` makes the page and its chart from the records in [results/history](../results/history).
`sdcpp history --revision NAME --restart` runs one row again.

The expected picture comes from a base model into which numpy has merged the adapter. The number after *wrong* is the
effect error; an adapter without effect has an effect error of 1. The base model is the smallest one that the revision
can load. In a cell with two verdicts the first is that of `immediately` and the second that of `at_runtime`. Revisions
before 2025-11-22 have no `at_runtime`."""

_NOT_COVERED = """\
Two defects are not tested here. A test of kohya's names of flux layers (issue 1092, said to be in 0.3.7 to 0.4.2) needs
the small flux model, which loads only from 0.4.4 on. A multiplier that is not a number is said to end the process up to
0.4.1."""


def write(rows: Mapping[str, HistoryRow], groups: Groups, surveys: Surveys) -> tuple[Path, Path]:
    """Write the page and its chart and return their paths; ``groups`` are the revisions of each upstream commit.

    Raises CheckoutNeeded in an installed sdcpp.
    """
    project.checkout()
    atomic_write.write(PAGE, page(rows, groups, surveys))
    atomic_write.write(CHART, chart.svg(rows, groups))
    return PAGE, CHART


def page(rows: Mapping[str, HistoryRow], groups: Groups, surveys: Surveys) -> str:
    """Return the page as Markdown."""
    run = [group for group in groups if group[-1].name in rows]
    parts = [
        _INTRODUCTION,
        "![Verdicts by revision and case](history.svg)",
        "",
        *changes.failing(rows, groups),
        "",
        "## How it was measured",
        "",
        f"The registry has {_counts(groups)}; {len(run)} have been run.{_left(groups, run)}",
        _HOW,
        "",
        "## When each case broke, and when it was fixed",
        "",
        *changes.changes(rows, groups),
        "## Upstream unchanged",
        "",
        *_table("pristine", rows, groups),
        "",
        "## With the patch that finds GGUF files",
        "",
        *_table("patched", rows, groups),
        "",
        "## The calling conventions and the states of the patches",
        "",
        *_surveys(groups, surveys),
        "",
        "## Compared with upstream's issues",
        "",
        *changes.compared(rows, groups),
        "",
        *changes.unexpected(rows, groups),
        "",
        _NOT_COVERED,
        "",
        "## Time",
        "",
        *_cost(rows, groups),
    ]
    return "\n".join(parts) + "\n"


def _counts(groups: Groups) -> str:
    """Return the numbers of sdists, of their upstream commits, and of forks."""
    own = [group for group in groups if not group[0].fork_of]
    forks = len(groups) - len(own)
    counts = f"{sum(map(len, own))} sdists of {len(own)} upstream commits"
    return f"{counts}, and {plural(forks, 'fork')} of upstream" if forks else counts


def _left(groups: Groups, run: Groups) -> str:
    """Return a sentence about the commits without a record, or "" if all have one."""
    left = len(groups) - len(run)
    if not left:
        return ""
    return f" The other {left} have no record yet; `sdcpp history` runs them, newest first."


def _table(side: str, rows: Mapping[str, HistoryRow], groups: Groups) -> Iterator[str]:
    """Yield a table of one side, newest commit first. A cell has the verdict of each mode if they differ."""
    yield "| sdists | upstream commit | " + " | ".join(CORE_CASES) + " |"
    yield "|" + " --- |" * (len(CORE_CASES) + 2)
    for group in reversed(groups):
        last, row = group[-1], rows.get(group[-1].name)
        sdists = ", ".join(revision.name for revision in group)
        certainty = " (inferred)" if all(r.evidence == "inferred" for r in group) else ""
        head = f"| {sdists} | {last.date} `{last.short_commit}`{certainty} |"
        if row is None or row.failed:
            reason = "not run" if row is None else f"failed: {row.failed.splitlines()[0]}"
            yield f"{head} {reason} |" + " |" * (len(CORE_CASES) - 1)
        else:
            yield f"{head} " + " | ".join(_cell(row, side, case) for case in CORE_CASES) + " |"


def _cell(row: HistoryRow, side: str, case: str) -> str:
    """Return the verdict on a case, or that of each mode if they differ."""
    judgements = [judged for mode in row.modes if (judged := row.judged(side, case, mode))]
    texts = [judgement_text(judged) for judged in judgements]
    return " / ".join(texts if len(set(texts)) > 1 else texts[:1]) or "not run"


def _surveys(groups: Groups, surveys: Surveys) -> Iterator[str]:
    """Yield a table of calling conventions and states of patches, and whether sdists of one commit are equal."""
    yield (
        "`sdcpp history --survey` read each header, and the compiler confirmed every struct, enumerator and prototype. "
        "The calling convention is the class in `sdcpp/binding/api` that calls the library."
    )
    yield ""
    names = list(dict.fromkeys(name for entry in surveys.values() for name in entry.patches))
    yield "| sdists | calling convention | arguments of new_sd_ctx | confirmed | " + " | ".join(names) + " |"
    yield "|" + " --- |" * (len(names) + 4)
    for group in reversed(groups):
        entry, sdists = surveys.get(group[-1].name), ", ".join(revision.name for revision in group)
        if entry is None:
            yield f"| {sdists} | not examined |" + " |" * (len(names) + 2)
            continue
        binding = entry.binding
        confirmed = (
            f"{binding['functions']} functions, {binding['structs']} structs, {binding['enumerators']} enumerators"
            if binding
            else entry.unbound.splitlines()[0]
        )
        states = " | ".join(entry.patches.get(name, "") for name in names)
        convention, count = binding.get("convention", "none"), binding.get("context_arguments", "")
        yield f"| {sdists} | {convention} | {count} | {confirmed} | {states} |"
    yield ""
    for group in groups:
        trees = {entry.tree for sdist in group if (entry := surveys.get(sdist.name))}
        if len(group) > 1 and all(sdist.name in surveys for sdist in group):
            same = "have the same files" if len(trees) == 1 else "name this commit, but have different files"
            yield f"- {', '.join(sdist.name for sdist in group)} (commit `{group[0].short_commit}`) {same}."


def _cost(rows: Mapping[str, HistoryRow], groups: Groups) -> Iterator[str]:
    """Yield a table of the time that each revision took, and a line for each number of cores."""
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
    for cores, times in sums.items():
        yield (
            f"- {cores} cores: {len(times)} revisions took {sum(times) / 60:.0f} minutes in total; "
            f"median {statistics.median(times):.0f} s, longest {max(times):.0f} s."
        )
    yield ""
    yield (
        "These are wall-clock times, so they depend on other load of the machine. Neighbouring revisions share the "
        "compiler's cache. If an sdist had been downloaded before, fetching only unpacks it."
    )
