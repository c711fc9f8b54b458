"""A measurement of two parts, for the tests of the page and of the command."""

from __future__ import annotations

from collections.abc import Sequence

from harness.studies.coverage.counts import CountedLine
from harness.studies.coverage.measurement import Measurement, summarise
from harness.studies.coverage.parts import Goal, Part, Source

FILE = "src/lora.hpp"
PARTS = (
    Part(
        name="apply",
        sources=(Source(files=(FILE,), functions=("LoraModel::apply",)),),
        goal=Goal(lines=60, branches=90),
    ),
    Part(name="rest", sources=(Source(files=(FILE,)),)),
)


def line(number: int, text: str, function: str, runs: int, branches: Sequence[int] = ()) -> CountedLine:
    """Return a line of FILE."""
    return CountedLine(
        file=FILE, number=number, text=text, function=function, runs=runs, branches=tuple(branches)
    )


LINES = (
    line(9, "size_t rank() {", "LoraModel::rank", 0),
    line(3, "return true;", "LoraModel::apply", 7),
    line(1, "if (tensors.empty()) {", "LoraModel::apply", 7, (0, 7)),
    line(2, "return false;", "LoraModel::apply", 0),
)


def measurement(label: str = "2026-05 patched", lines: Sequence[CountedLine] = LINES) -> Measurement:
    """Return what has run of LINES, or of other lines."""
    functions, missed, partly = summarise(lines, PARTS)
    return Measurement(
        label=label,
        revision=label.partition(" ")[0],
        backend="cpu",
        command="sdcpp study coverage --matrix quick",
        date="2026-01-02",
        compiler="GNU 12.2.0",
        verdicts={"PASS": 9, "ABORT": 1},
        functions=functions,
        missed=missed,
        partly=partly,
    )
