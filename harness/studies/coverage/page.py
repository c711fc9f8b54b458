"""The page docs/coverage.md, made from results/coverage.json and reasons.toml."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from harness.studies.coverage.measurement import Measurement, MissedLine, Share
from harness.studies.coverage.parts import PARTS, Goal, Part
from harness.studies.coverage.reasons import Reason, reason_for, without_line
from harness.text import plural
from sdcpp import atomic_write, project

PAGE = project.ROOT / "docs" / "coverage.md"
COMMAND = "sdcpp study coverage --write-docs"
#: What stands in place of a reason that nobody has written.
NO_REASON = "No reason is recorded: the cases of this run do not reach it."

_INTRODUCTION = f"""\
# Coverage of the LoRA path

This page shows which lines and branches of stable-diffusion.cpp's LoRA path the cases of `sdcpp verify` run, and which
they never run. A line that runs is not yet a line whose mistakes are noticed: for that see [mutants.md](mutants.md).

The library is built with gcov and without optimisation. Branches that an exception takes do not count. gcc adds
branches to lines with temporary objects, which clean up after an exception and which no case can take; they do not
count. A function of a header that nothing calls has no code, so it has no row.
The rows of a table of names are one statement: coverage does not show which of them the cases use. What a process
reached that crashed is not counted.

`{COMMAND}` runs the cases and writes [results/coverage.json](../results/coverage.json) and this page.
With `--recorded` it makes the page again from that file. The reasons are in
[reasons.toml](../harness/studies/coverage/reasons.toml), and the parts in
[parts.py](../harness/studies/coverage/parts.py).
"""


def write(measurements: Sequence[Measurement], reasons: Sequence[Reason]) -> Path:
    """Write the page and return its path; raises CheckoutNeeded in an installed sdcpp."""
    project.checkout()
    atomic_write.write(PAGE, page(measurements, reasons))
    return PAGE


def page(
    measurements: Sequence[Measurement], reasons: Sequence[Reason], parts: Sequence[Part] = PARTS
) -> str:
    """Return the page as Markdown."""
    sections = [_INTRODUCTION, *_summary(measurements, parts)]
    for one in measurements:
        sections += _section(one, reasons, parts)
    return "\n".join(sections).rstrip() + "\n"


def _summary(measurements: Sequence[Measurement], parts: Sequence[Part]) -> Iterator[str]:
    """Yield the table of all parts, with a pair of columns for each measurement, and what was run."""
    titles = [f"{one.label}: lines | branches" for one in measurements]
    yield f"| part | goal | {' | '.join(titles)} |"
    yield "|---|---|" + "---|---|" * len(measurements)
    for part in parts:
        goal = part.goal
        cells = []
        for one in measurements:
            cells.append(_share(one.lines(part.name), goal.lines if goal else None))
            cells.append(_share(one.branches(part.name), goal.branches if goal else None))
        wanted = f"{goal.lines:g} %, {goal.branches:g} %" if goal else ""
        yield f"| {part.name} | {wanted} | {' | '.join(cells)} |"
    yield ""
    yield from (line for one in measurements for line in _goals(one, parts))
    yield ""


def _share(share: Share, wanted: float | None) -> str:
    """Return a share as text, in bold if it is below the goal; "not there" if the revision has no such code."""
    if not share.total:
        return "not there"
    text = f"{share.percent:.1f} % of {share.total}"
    return f"**{text}**" if wanted is not None and share.percent < wanted else text


def _goals(one: Measurement, parts: Sequence[Part]) -> Iterator[str]:
    """Yield a line that says how the run compares with the goals."""
    missed = [
        f"{part.name} ({', '.join(_below(one, part.name, part.goal))})"
        for part in parts
        if part.goal and _below(one, part.name, part.goal)
    ]
    if missed:
        yield f"- {one.label} misses the goal for {' and for '.join(missed)}."
    else:
        yield f"- {one.label} reaches the goals."


def _below(one: Measurement, part: str, goal: Goal) -> list[str]:
    """Return what is below the goal: "lines 90.0 %", "branches 70.0 %"."""
    found = (
        ("lines", one.lines(part), goal.lines),
        ("branches", one.branches(part), goal.branches),
    )
    return [f"{name} {share.percent:.1f} %" for name, share, wanted in found if share.percent < wanted]


def _section(one: Measurement, reasons: Sequence[Reason], parts: Sequence[Part]) -> Iterator[str]:
    """Yield the section of a measurement: what was run, the functions, and the lines that never run."""
    verdicts = ", ".join(f"{count} {name}" for name, count in one.verdicts.items())
    total = plural(sum(one.verdicts.values()), "cell")
    yield f"## {one.label}"
    yield ""
    yield f"Run on {one.date} with the backend {one.backend}, built by {one.compiler}: {total} ({verdicts})."
    yield ""
    yield f"    {one.command}"
    yield ""
    yield from _functions(one, parts)
    for part in parts:
        missed = [line for line in one.missed if line.part == part.name]
        if missed:
            yield from _never(one.revision, part, missed, reasons)
        partly = [line for line in one.partly if line.part == part.name]
        if part.goal and partly:
            yield from _partly(one.revision, part.name, partly, reasons)
    if lost := without_line(reasons, one.revision, [*one.missed, *one.partly]):
        yield f"### Reasons of {one.label} without a line"
        yield ""
        yield "These lines run now, or upstream has changed them. Remove their reasons, or give them new ones."
        yield ""
        yield from (f"- `{text}`" for text in lost)
        yield ""


def _functions(one: Measurement, parts: Sequence[Part]) -> Iterator[str]:
    """Yield the table of files and functions."""
    yield "| part | file | function | lines | branches |"
    yield "|---|---|---|---|---|"
    for part in parts:
        for entry in (entry for entry in one.functions if entry.part == part.name):
            numbers = f"{_fraction(entry.lines)} | {_fraction(entry.branches)}"
            yield f"| {part.name} | `{entry.file}` | `{entry.function}` | {numbers} |"
    yield ""


def _fraction(share: Share) -> str:
    return f"{share.run} of {share.total}" if share.total else ""


def _never(
    revision: str, part: Part, missed: Sequence[MissedLine], reasons: Sequence[Reason]
) -> Iterator[str]:
    """Yield the lines of a part that never run, those of a function with the same reason together.

    They are folded in a part without a goal.
    """
    explained = [(line, reason_for(reasons, revision, line)) for line in missed]
    without = sum(not reason for _, reason in explained)
    yield f"### Lines of the part {part.name} that never run: {len(missed)}, of which {without} have no reason"
    yield ""
    if not part.goal:
        yield from ("<details>", "<summary>the lines</summary>", "")
    for (file, function, reason), group in groupby(
        explained, key=lambda pair: (pair[0].file, pair[0].function, pair[1])
    ):
        yield f"`{function}` of `{file}`: {reason or NO_REASON}"
        yield ""
        yield "```text"
        yield from (f"{line.number:5}  {line.text}" for line, _ in group)
        yield "```"
        yield ""
    if not part.goal:
        yield from ("</details>", "")


def _partly(
    revision: str, part: str, lines: Iterable[MissedLine], reasons: Sequence[Reason]
) -> Iterator[str]:
    """Yield the lines of a part that run, with branches that are never taken, those with the same reason together.

    The lines without a reason come last.
    """
    groups: dict[str, list[MissedLine]] = {}
    for line in lines:
        groups.setdefault(reason_for(reasons, revision, line), []).append(line)
    untaken = {reason: sum(line.untaken for line in group) for reason, group in groups.items()}
    yield (
        f"### Branches of the part {part} that are never taken: {sum(untaken.values())},"
        f" of which {untaken.get('', 0)} have no reason"
    )
    yield ""
    yield "Before each line is the number of its branches that no case takes, and of all that it has."
    yield ""
    for reason, group in sorted(groups.items(), key=lambda entry: not entry[0]):
        yield f"{plural(untaken[reason], 'branch', 'branches')}: {reason or NO_REASON}"
        yield ""
        yield "```text"
        yield from (f"{line.number:5}  {line.untaken} of {line.branches}  {line.text}" for line in group)
        yield "```"
        yield ""
