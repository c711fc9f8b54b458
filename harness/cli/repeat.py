"""``sdcpp stability``: run the same cases several times, with one worker and with two, and compare the pictures."""

from __future__ import annotations

import argparse

from harness.cases.matrix import FULL, QUICK
from harness.cli import options, runs
from harness.studies import repeat
from sdcpp import console

#: Exit status where a picture or a verdict differs between rounds.
UNSTABLE = 4
#: Counts of workers when none is given: what they share must not show.
JOBS = (1, 2)

RESUMES = True
EPILOG = """\
what comes out
  Every picture and verdict that is not the same in all rounds. Exit status 0: none. 4: some.
  Records lie in reports/stability, one folder a round: finished rounds are not run again.

examples
  sdcpp stability --revision 2026-05                      what verify runs, three times with one worker and with two
  sdcpp stability --revision 2026-05 --full --times 2     what matrix runs
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    runs.add_arguments(parser, "stability", workers="first one, then two")
    options.add_source(parser)
    parser.add_argument(
        "--times", type=int, default=3, metavar="N", help="rounds for each count (default: 3)"
    )
    parser.add_argument("--full", action="store_true", help="the cases of matrix, not those of verify")


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    matrix = FULL if arguments.full else QUICK
    command = ["sdcpp", "stability", *(["--full"] if arguments.full else [])]
    if arguments.list:
        return runs.list_cases(matrix, arguments)
    jobs = (arguments.jobs,) if arguments.jobs else JOBS
    found, first = [], None
    with runs.all_sides(arguments, matrix, command, ("patched",)) as made:
        rounds = repeat.rounds(
            made,
            arguments.output,
            jobs=jobs,
            times=arguments.times,
            command=runs.shell_command(arguments, command),
        )
        for later in rounds:
            first = first or later
            found += [f"{later.name}: {line}" for line in repeat.differences(first.records, later.records)]
    for line in found:
        console.out.print(line, markup=False)
    pictures = len(first.records.observations) if first else 0
    count = arguments.times * len(jobs)
    console.out.print(f"{pictures} pictures in {count} rounds: {len(found)} differences", markup=False)
    return UNSTABLE if found else 0
