"""Run the same cases several times, with one worker and with two, and compare the pictures."""

from __future__ import annotations

import argparse

from harness.cli import options, runs
from harness.judging import unjudged
from harness.studies import repeat
from sdcpp import console
from sdcpp.errors import NotJudged

#: Exit status if a picture or a verdict differs between two rounds.
UNSTABLE = 4
#: The numbers of workers of the rounds, unless --jobs is given: what workers share must not show in a picture.
JOBS = (1, 2)

RESUMES = True
RENAMED = {**runs.RENAMED, "--times": ("--repeat",), "--full": ("--matrix", "full")}
EPILOG = """\
output
  The command prints every picture and verdict that is not the same in all rounds. The output
  folder keeps the records of each round; finished rounds are not run again.
  Exit status 0: no difference. 4: there is a difference. 63: the cases cannot be judged.

examples
  sdcpp repeat --revision 2026-05                            three rounds each
  sdcpp repeat --revision 2026-05 --matrix full --repeat 2   everything, two rounds each
  sdcpp repeat --side patched --case 'gguf-*' --jobs 4       some cases, always with four workers
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    runs.add_arguments(parser, "repeat", workers="first one, then two")
    options.add_checkout(parser, ", in place of a revision")
    options.add_side(parser)
    parser.add_argument(
        "--matrix", choices=runs.MATRICES, default="quick", help="the cases, as in verify (default: quick)"
    )
    options.add_repeat(parser, "rounds for each number of workers")


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    name, sides = arguments.matrix, options.SIDES[arguments.side]
    command = ["sdcpp", "repeat"]
    command += ["--matrix", name] if name != "quick" else []
    command += ["--side", arguments.side] if arguments.side != "both" else []
    if arguments.list:
        return runs.list_cases(arguments, [name])
    runs.require_selection(arguments, [name])
    jobs = (arguments.jobs,) if arguments.jobs else JOBS
    found, first = [], None
    with runs.all_sides(arguments, name, command, sides, arguments.output) as made:
        rounds = repeat.rounds(
            made,
            arguments.output,
            jobs=jobs,
            times=arguments.repeat,
            command=runs.shell_command(arguments, command),
        )
        for later in rounds:
            first = first or later
            found += [f"{later.name}: {line}" for line in repeat.differences(first.records, later.records)]
    for line in found:
        console.out.print(line, markup=False)
    pictures = len(first.records.observations) if first else 0
    count = arguments.repeat * len(jobs)
    console.out.print(f"{pictures} pictures in {count} rounds: {len(found)} differences", markup=False)
    if first and (problems := unjudged.complaints(first.records.cells)):
        console.out.print(f"The run cannot be judged: {'; '.join(problems)}.", markup=False)
        return NotJudged.exit_code
    return UNSTABLE if found else 0
