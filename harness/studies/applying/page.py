"""The page about what applying an adapter costs, from its records."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness.studies.applying import goals
from harness.studies.applying.measurement import Cost
from harness.studies.applying.peer import PeerCost
from harness.studies.applying.study import ApplyStudy
from harness.text import busy, plural
from sdcpp import atomic_write, project

PAGE = project.ROOT / "docs" / "cost.md"
#: The measurements from which the page is made.
RESULTS = project.ROOT / "results" / "cost.json"
#: What is known about goals that are missed.
MISSED = Path(__file__).with_name("missed.toml")


def page(studies: Sequence[ApplyStudy]) -> str:
    """Return the page as Markdown."""
    lines = [
        "# What applying an adapter costs",
        "",
        *_summary(studies),
        "",
        "## How to read the figures",
        "",
        "Seconds that an adapter of all linear layers adds to a picture. The base models have the size that people"
        " use, and random weights. Each figure is the median over the rounds of the times of single calls of the"
        " library.",
        "",
        "- *first*: the first picture with the adapter, which loads it.",
        "- *again*: the next picture with the same adapter.",
        "- *changed*: a picture with the same file and another multiplier.",
        "- *step*: each further step, with the share of a step without the adapter.",
        "- *away*: the first picture without the adapter.",
        "- *no effect*: the picture with the adapter is that without it, so the figures mean nothing.",
        "- *memory*: what the adapter adds to the peak memory of the process, and of the GPU where there is one.",
        "",
        "Where few rounds were made or other work ran on the machine, small differences mean nothing: a figure can then"
        " be below zero. Of a run that was interrupted, the adapters that it had measured are shown.",
    ]
    for study in studies:
        lines += ["", *_section(study)]
    lines += [
        "",
        "This page is made from [results/cost.json](../results/cost.json). `sdcpp bench --apply --write-docs` measures"
        " and writes both; with `--recorded` it makes the page again.",
    ]
    return "\n".join(lines) + "\n"


def _summary(studies: Sequence[ApplyStudy]) -> Iterator[str]:
    """Yield the answer: how many goals the patched library reaches in each measurement, and which."""
    judged = {study.question: (study, found) for study in studies if (found := goals.results(study))}
    if not judged:
        yield "Other work disturbed all measurements that are recorded, so the goals are not judged."
        return
    for study, found in judged.values():
        reached = sum(result.reached for result in found)
        same, of = goals.same_pictures(study)
        yield (
            f"- **{_title(study)}: with the patches {reached} of {len(found)} goals are reached.**"
            + (f" {same} of {of} pictures are those of the unpatched library to the byte." if of else "")
        )
    yield ""
    yield (
        "Each figure is that of the adapter for which the patched library is the worst. *As diffusers* divides what the"
        " library needs by what diffusers with PEFT needs for the same rank on the same device, in the same run."
        " Pictures also differ where those of the unpatched library are [wrong](findings.md)."
    )
    for study, found in judged.values():
        yield ""
        yield f"| {_title(study)} | goal: at most | patched | unpatched | adapter | |"
        yield "|---|---|---|---|---|---|"
        for result in found:
            unpatched = result.values.get("pristine")
            yield (
                f"| {result.goal} | {result.show(result.limit)} | {result.show(result.values['patched'])}"
                f" | {'' if unpatched is None else result.show(unpatched)} | {result.adapter}"
                f" | {'reached' if result.reached else '**missed**'} |"
            )
    missed = dict.fromkeys(
        result.goal for _, found in judged.values() for result in found if not result.reached
    )
    if missed:
        yield from _why(list(missed), reasons())


def reasons() -> dict[str, str]:
    """Return where the time goes if a goal is missed and what was tried, by goal."""
    entries = tomllib.loads(MISSED.read_text(encoding="utf-8"))["missed"]
    return {entry["goal"]: entry["why"] for entry in entries}


def _why(missed: Sequence[str], known: Mapping[str, str]) -> Iterator[str]:
    yield ""
    yield "Where the time goes where a goal is missed, and what was tried:"
    yield ""
    for goal in missed:
        yield f"- **{goal}**: {known.get(goal, 'not known yet.')}"


def _title(study: ApplyStudy) -> str:
    return f"{study.base} on {study.backend}, {study.revision}"


def _section(study: ApplyStudy) -> Iterator[str]:
    yield f"## {_title(study)}"
    yield ""
    yield f"    {study.command}"
    yield ""
    size, steps = study.picture.size, study.picture.steps
    yield (
        f"{study.device}, {study.cores} cores, {plural(study.threads, 'thread')}, {study.date}."
        f" {study.layers} layers, pictures of {size} by {size},"
        f" {steps} steps, {plural(study.picture.rounds, 'round')}.{busy(study.load)}"
    )
    yield ""
    if study.busy:
        yield (
            "**The machine was busy with other work: a step without an adapter, which is always the same work, did not"
            " always take as long. So these seconds are too long and the differences between them are mostly noise.**"
            " The memory is not affected."
        )
        yield ""
    yield "| adapter | MB | mode | side | first | again | changed | step | away | memory, MB |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for cost in sorted(study.costs, key=lambda c: (c.mode, c.rank, c.kind)):
        yield _row(cost)
    if study.peers:
        yield ""
        yield (
            "The F16 files in diffusers with PEFT, in the same run. *step* is each step with the adapter not fused;"
            " *memory* is the peak memory of the process with the model."
        )
        yield ""
        yield "| rank | MB | load | fuse | unfuse | step | away | memory, MB |"
        yield "|---|---|---|---|---|---|---|---|"
        yield from map(_peer_row, study.peers)
    if study.floors:
        yield ""
        yield "The least that PyTorch takes for the F16 file on the same device, in seconds:"
        yield ""
        yield "| rank | read the file onto the device | add the product to the weights, in place |"
        yield "|---|---|---|"
        for rank, seconds in study.floors.items():
            yield f"| {rank} | {seconds['load']:.3f} | {seconds['merge']:.3f} |"


def _row(cost: Cost) -> str:
    unchanged = "with" in cost.pictures and cost.pictures["with"] == cost.pictures["without"]
    mode = f"{cost.mode}, **no effect**" if unchanged else cost.mode
    adapter = f"| rank {cost.rank}, {cost.kind} | {cost.size / 1e6:.0f} | {mode} | {cost.side} |"
    if cost.failure:
        first = f"{cost.first:.3f}, then: " if cost.first else ""
        return f"{adapter} {first}{cost.failure.splitlines()[0]} | | | | | |"
    share = f"{cost.step_more:.4f} ({100 * cost.step_more / cost.step:+.0f} %)" if cost.step > 0 else "?"
    return (
        f"{adapter} {cost.first:.3f} | {cost.again:.3f} | {cost.changed:.3f} | {share} | {cost.away:.3f}"
        f" | {(cost.memory_with - cost.memory) / 1e6:.0f}{_card(cost)} |"
    )


def _card(cost: Cost) -> str:
    return f" + {(cost.card_with - cost.card) / 1e6:.0f}" if cost.card else ""


def _peer_row(cost: PeerCost) -> str:
    more = cost.with_adapter - cost.plain
    size = f"{cost.size / 1e6:.0f}" if cost.size else ""
    return (
        f"| {cost.rank} | {size} | {cost.load:.3f} | {cost.fuse:.3f} | {cost.unfuse:.3f}"
        f" | {more:.4f} ({100 * more / cost.plain:+.0f} %) | {cost.away:.3f} | {cost.memory / 1e6:.0f} |"
    )


def write(studies: Sequence[ApplyStudy]) -> Path:
    """Write the page and return its path."""
    atomic_write.write(PAGE, page(studies))
    return PAGE
