"""Run the same cases several times and compare the pictures, or the same comparison several times."""

from __future__ import annotations

import argparse
from collections import Counter

from harness.cli import options, runs
from harness.judging import unjudged
from harness.records.change import ChangeKind
from harness.running import pool
from harness.studies import repeat
from harness.text import plural
from harness.verification import proposal
from harness.verification.sides import open_block_quantiser
from sdcpp import atomic_write, console
from sdcpp.errors import NotJudged
from sdcpp.patching.patch_file import read
from sdcpp.process import cores

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

a change that does nothing
  --patch compares a revision without and with a patch in each round, as verify --patch does, and
  counts the cases that verify calls worse, better or unstable. If the patch does nothing, as
  harness/studies/idle.patch, each case that is called worse is a false alarm.
  Exit status 0: no case was worse or better. 4: a case was, in at least one round.

examples
  sdcpp repeat --revision 2026-05                            three rounds each
  sdcpp repeat --revision 2026-05 --matrix full --repeat 2   everything, two rounds each
  sdcpp repeat --side patched --case 'gguf-*' --jobs 4       some cases, always with four workers
  sdcpp repeat --patch harness/studies/idle.patch --revision 2026-05 --repeat 10
                                                             ten times a change that does nothing
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    runs.add_arguments(parser, "repeat", workers="first one, then two")
    options.add_checkout(parser, ", in place of a revision")
    options.add_side(parser)
    options.add_patch(parser, "compare without and with these patches in each round")
    parser.add_argument(
        "--matrix",
        choices=runs.MATRICES,
        help="the cases, as in verify (default: quick; with --patch those of a change)",
    )
    options.add_repeat(parser, "rounds for each number of workers")


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    usual = runs.OF_A_CHANGE if arguments.patch else "quick"
    name, sides = arguments.matrix or usual, options.SIDES[arguments.side]
    if arguments.patch and (arguments.checkout or arguments.side != "both"):
        arguments.complain("--patch has its own two sides of a revision")
    command = ["sdcpp", "repeat"]
    command += ["--matrix", name] if name != usual else []
    command += ["--side", arguments.side] if arguments.side != "both" else []
    if arguments.list:
        return runs.list_cases(arguments, [name])
    runs.require_selection(arguments, [name])
    if arguments.patch:
        return _compare(arguments, name, command)
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


def _compare(arguments: argparse.Namespace, name: str, command: list[str]) -> int:
    """Compare a revision without and with patches in each round, and count the cells that differ."""
    atomic_write.ensure_folder(arguments.output)
    wanted = options.revisions(arguments, default=options.REVISIONS[-1:])[-1]
    change = proposal.of_patches(wanted, [read(path) for path in arguments.patch])
    spec = runs.run_spec(arguments, name, command, (), wanted)
    counts: Counter[ChangeKind] = Counter()
    complaints: list[str] = []
    cells = 0
    with open_block_quantiser(wanted, spec) as block_quantiser:
        sides, facts = proposal.build_sides(change, spec, block_quantiser)
        for later in repeat.rounds(
            sides,
            arguments.output,
            jobs=(arguments.jobs or pool.worker_count(cores())[0],),
            times=arguments.repeat,
            command=runs.shell_command(arguments, command),
            proposal={sides[0].side.revision: facts},
        ):
            cells += len(later.records.cells)
            complaints += unjudged.complaints(later.records.cells)
            for kind, line in repeat.effects(later.records):
                counts[kind] += 1
                console.out.print(f"{later.name}: {line}", markup=False)
    unstable = counts.pop(ChangeKind.UNSTABLE, 0)
    other = counts.total() - counts[ChangeKind.REGRESSED]
    console.out.print(
        f"{plural(cells, 'cell')} in {plural(arguments.repeat, 'round')}: {counts[ChangeKind.REGRESSED]} called "
        f"worse, {other} changed otherwise, {unstable} unstable",
        markup=False,
    )
    if complaints:
        console.out.print(f"The run cannot be judged: {'; '.join(dict.fromkeys(complaints))}.", markup=False)
        return NotJudged.exit_code
    return UNSTABLE if counts.total() else 0
