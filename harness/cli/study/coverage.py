"""Count which lines and branches of upstream's LoRA path the cases run, in a build with gcov."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from harness.cases.matrix import JoinedMatrices
from harness.cli import options, runs
from harness.judging import unjudged
from harness.studies.coverage import counts, measurement, page, parts, reasons
from harness.studies.coverage.measurement import Measurement
from harness.studies.coverage.run import CoverageRun
from harness.text import plural
from sdcpp import console, project
from sdcpp.errors import NotJudged
from sdcpp.source.revision import Revision

#: The revisions that are measured unless others are named.
REVISIONS = ("2026-05", "2026-07")
#: The matrices whose cases are run unless others are named.
MATRICES = ("full", "families")

RESUMES = True
RENAMED = options.RENAMED_SIDES
EPILOG = """\
output
  The command prints for each part of the LoRA path the lines and branches that have run. With
  --write-docs it adds them to results/coverage.json, in place of earlier ones of the same
  revision and side, and writes docs/coverage.md, which lists every line that has never run.
  The output folder keeps the records and the counters; an interrupted run goes on from them, and
  a finished one is not run again. Only gcc on Linux is supported.
  Exit status 0: the cases were run. 63: they cannot be judged.

examples
  sdcpp study coverage                                        everything on two revisions
  sdcpp study coverage --revision 2026-05 --matrix quick      a minute, and the build
  sdcpp study coverage --matrix full --case 'gguf-*'          some cases
  sdcpp study coverage --recorded --write-docs                the page again, for new reasons
  sdcpp study coverage --reach --matrix full                  which case reaches which line
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--revision",
        action="append",
        metavar="NAME",
        help=f"a revision of revisions.toml; may be repeated (default: {', '.join(REVISIONS)})",
    )
    options.add_side(parser, "patched")
    parser.add_argument(
        "--matrix",
        action="append",
        choices=runs.MATRICES,
        help="the cases, as in verify; may be repeated (default: full and families)",
    )
    options.add_case(parser)
    parser.add_argument(
        "--restart", action="store_true", help="forget the records and counters of such a run"
    )
    parser.add_argument(
        "--recorded", action="store_true", help="build and run nothing, read results/coverage.json"
    )
    parser.add_argument(
        "--write-docs", action="store_true", help="write results/coverage.json and docs/coverage.md"
    )
    parser.add_argument(
        "--reach",
        action="store_true",
        help="only write reach-REVISION.json into the output folder: the lines that each case reaches, for"
        " sdcpp study mutation --reach; pristine or patched",
    )
    options.add_output(parser, "reports/coverage")
    options.add_workers(parser)
    parser.set_defaults(checkout=None, where=[])


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.write_docs or arguments.recorded:
        project.checkout()  # before a run of an hour
    problems: list[str] = []
    if arguments.reach:
        for path in _reached(arguments):
            console.note(f"wrote {path}")
        return 0
    if arguments.recorded:
        found = measurement.read()
    else:
        found, problems = _measured(arguments)
    for one in found:
        _print(one)
    if arguments.write_docs:
        known = found if arguments.recorded else measurement.add(found)
        console.note(f"wrote {page.write(known, reasons.load())}")
    if problems:
        console.out.print(f"The run cannot be judged: {'; '.join(problems)}.", markup=False)
        return NotJudged.exit_code
    return 0


def _runs(arguments: argparse.Namespace) -> Iterator[tuple[Revision, CoverageRun]]:
    """Yield each revision and the run on it."""
    counts.require_gcov()  # before a run of an hour
    names = runs.require_selection(arguments, arguments.matrix or MATRICES)
    for revision in options.revisions(arguments, REVISIONS):
        yield (
            revision,
            CoverageRun(
                matrix=JoinedMatrices(matrices=[runs.matrix(name, revision.date) for name in names]),
                select=arguments.case,
                folder=arguments.output,
                command=_command(arguments),
                jobs=arguments.jobs,
                restart=arguments.restart,
            ),
        )


def _reached(arguments: argparse.Namespace) -> Iterator[Path]:
    """Run the cases with counters of their own on the side of each revision; yield the files that were written."""
    [side] = options.SIDES[arguments.side]
    for revision, study in _runs(arguments):
        yield study.reach(revision, side).write(arguments.output / f"reach-{revision.name}.json")


def _measured(arguments: argparse.Namespace) -> tuple[list[Measurement], list[str]]:
    """Run the cases on each side of each revision; return the measurements, and why the cells cannot be judged."""
    found, problems = [], []
    for revision, study in _runs(arguments):
        for side in options.SIDES[arguments.side]:
            one, records = study.measure(revision, side)
            found.append(one)
            problems += unjudged.complaints(records.cells)
    return found, problems


def _command(arguments: argparse.Namespace) -> list[str]:
    """Return the argument list that repeats the run."""
    words = ["sdcpp", "study", "coverage"]
    for name in arguments.matrix or MATRICES:
        words += ["--matrix", name]
    words += ["--side", arguments.side]
    for name in arguments.revision or REVISIONS:
        words += ["--revision", name]
    for pattern in arguments.case:
        words += ["--case", pattern]
    return words


def _print(one: Measurement) -> None:
    """Print the coverage of each part, and how many lines have never run."""
    console.out.print(
        f"{one.label}, {one.backend}: {plural(sum(one.verdicts.values()), 'cell')}", markup=False
    )
    for part in parts.PARTS:
        lines, branches = one.lines(part.name), one.branches(part.name)
        if lines.total:
            goal = f"  goal {part.goal.lines:g} %, {part.goal.branches:g} %" if part.goal else ""
            console.out.print(
                f"  {part.name:20} {lines.percent:5.1f} % of {plural(lines.total, 'line')}, "
                f"{branches.percent:5.1f} % of {plural(branches.total, 'branch', 'branches')}{goal}",
                markup=False,
            )
