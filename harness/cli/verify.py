"""``sdcpp verify``: does a GGUF LoRA work, before and after the patches, or before and after a change of yours?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from harness.cases.matrix import PROPOSED, QUICK, Matrix
from harness.cli import options, runs
from harness.cli.runs import list_cases, report, run_and_report, run_spec, shell_command
from harness.reports import before_after
from harness.reports.table import arrange
from harness.verification import proposal
from harness.verification.run import run_sides
from harness.verification.sides import open_block_maker
from sdcpp import atomic_write
from sdcpp.errors import NothingTried
from sdcpp.patching.patch_file import read

#: Exit status of a comparison in which a case fares worse with the change than without.
REGRESSED = 5

RESUMES = True
EPILOG = """\
what comes out
  A table on the terminal, and in the output folder report.md (for a pull request), report.html (with the
  pictures), junit.xml (for CI), records.jsonl (all of it, for machines) and, where a case fails, bugs.md (the text
  of a bug report for each defect). Exit status 0: everything is as expected. 1: something is not. Others: see
  CONTRIBUTING.md.

a change of your own
  --source compares your checkout as it is, uncommitted and new files included, with the commit that it grew from:
  the merge base with upstream's branch, looked for as master or main of the remote that points to
  leejet/stable-diffusion.cpp, then of upstream and origin, then the local one; --base names another. Your checkout is
  only read. --patch compares a revision without and with patch files. Both states are built, sharing what is equal,
  and put to the same cases; a state that compiles to the same objects needs no run. report.md then has what changed,
  to be pasted under "Additional Information" of your pull request.
  Exit status 0: nothing is worse. 5: something is. 31: one of the two does not build; the compiler's first error is
  shown. 20: a patch does not apply; the hunk is shown. 60: there was nothing to compare or no case to run.

examples
  sdcpp verify --source ~/stable-diffusion.cpp          is my working tree better than what it grew from?
  sdcpp verify --source . --base HEAD~1 --select 'gguf-*'
                                                        only the last commit and what is not committed, some cases
  sdcpp verify --patch fix.patch --revision 2025-12     somebody else's patch, on a revision of your choice
  sdcpp verify                                          both named revisions, pristine and patched, on the CPU
  sdcpp verify --revision 2026-05 --select 'gguf-Q*'    one revision, quantised files only
  sdcpp verify --select gguf-Q8_0@immediately           one case, as the report's last column gives it
  sdcpp verify --list                                   the cases, without running them
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_change(parser)
    runs.add_arguments(parser, "verify")


def add_change(parser: argparse.ArgumentParser) -> None:
    """Add what names a change to compare with and without, for ``verify`` and ``matrix``."""
    change = parser.add_argument_group("a change of your own")
    change.add_argument(
        "--source",
        type=Path,
        metavar="DIR",
        help="your checkout, as it is, beside the commit that it grew from",
    )
    change.add_argument(
        "--base",
        metavar="REF",
        help="compare the checkout with its merge base with REF, not with upstream's branch",
    )
    change.add_argument(
        "--patch",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="these patches, in this order, on a revision (default: the newest) or on a checkout",
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    matrix = PROPOSED if arguments.source or arguments.patch else QUICK
    return execute(arguments, matrix, ("nox", "-s", "verify", "--"), ("pristine", "patched"))


def execute(
    arguments: argparse.Namespace, matrix: Matrix, command: Sequence[str], sides: Sequence[str]
) -> int:
    """Put a matrix to the sides of each revision or of a change, or list its cases; return the exit status."""
    if arguments.base and not (arguments.source and not arguments.patch):
        arguments.complain("--base needs --source, and no --patch")
    if arguments.source and arguments.revision:
        arguments.complain("--source and --revision name two different sources")
    if arguments.list:
        return list_cases(matrix, arguments)
    if arguments.source or arguments.patch:
        return compare(arguments, matrix, command)
    return run_and_report(arguments, matrix, command, sides)[1]


def compare(arguments: argparse.Namespace, matrix: Matrix, command: Sequence[str]) -> int:
    """Put a matrix to both states of a change, print and write what it changes, return the exit status."""
    atomic_write.ensure_folder(arguments.output)
    if arguments.patch:
        wanted = options.revisions(arguments, default=options.REVISIONS[-1:])
        patches = [read(path) for path in arguments.patch]
        proposals = [proposal.of_patches(each, patches) for each in wanted]
    else:
        proposals = [proposal.of_checkout(arguments.source, arguments.base)]
    spec = run_spec(arguments, matrix, command, ())
    with open_block_maker(proposals[-1].after[0].revision, spec) as maker:
        made = [proposal.contend(each, spec, maker) for each in proposals]
        facts = {sides[0].side.revision: fact for sides, fact in made}
        records = run_sides(
            [side for sides, _ in made for side in sides],
            arguments.output,
            title=f"A change to GGUF LoRA loading, {', '.join(facts)}, {arguments.backend}",
            command=shell_command(arguments, command),
            jobs=arguments.jobs,
            proposal=facts,
        )
    report(records, arguments.output)
    shown = arrange(records)
    became = [found for pair in before_after.pairs(shown) for found in before_after.changes(shown, pair)]
    if not any(found.tried for found in became) and not any(fact["same"] for fact in facts.values()):
        raise NothingTried("no case could be tried", arguments.backend, "see the evidence in the report")
    return REGRESSED if any(found.kind == "regressed" for found in became) else 0
