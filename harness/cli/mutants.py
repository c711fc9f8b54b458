"""Build the library with one mistake at a time and see which case catches it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from harness.cases.matrix import FULL
from harness.cli import options
from harness.studies.mutation import mutants, outcome, page
from harness.studies.mutation.run import MutationRun, run_all
from sdcpp import console, project
from sdcpp.errors import NothingTried
from sdcpp.source import revision

#: Exit status of a run in which a mistake was not caught, or a control was.
NOT_CAUGHT = 3

RESUMES = True
RENAMED = {"--select": ("--mutant",), "--docs": ("--write-docs",)}
EPILOG = """\
output
  The command prints for each mutant the first case that catches it, and the one with the largest
  error. It runs the cases that a mutant names first; if none of them catches it, it runs the full
  matrix. The output folder keeps the records of each mutant; finished mutants are not run again.
  A mutant takes about a minute, in which one large file is compiled.
  Exit status 0: every mutant is caught, and no control is. 3: otherwise. A crash alone does not
  count as caught.

examples
  sdcpp mutants                             all
  sdcpp mutants --list                      print the mutants, run nothing
  sdcpp mutants --mutant 'alpha-*' --all    some, on the full matrix
  sdcpp mutants --write-docs                all, and write docs/mutants.md
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--revision",
        choices=mutants.REVISIONS,
        default=mutants.REVISION,
        help="the revision to change (default: %(default)s)",
    )
    parser.add_argument(
        "--mutant",
        action="append",
        default=[],
        metavar="PATTERN",
        help="only mutants whose name matches this shell wildcard; may be repeated",
    )
    cases = parser.add_mutually_exclusive_group()
    cases.add_argument("--all", action="store_true", help="run the full matrix on each")
    options.add_case(cases, "instead of the cases that a mutant names, those")
    parser.add_argument("--list", action="store_true", help="print the mutants and stop")
    parser.add_argument(
        "--recorded", action="store_true", help="build and run nothing, only read finished records"
    )
    parser.add_argument("--restart", action="store_true", help="run finished mutants again")
    parser.add_argument(
        "--write-docs", action="store_true", help="write docs/mutants.md; rows of other mutants stay"
    )
    options.add_output(parser, "reports/mutants")
    options.add_workers(parser)


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    there = mutants.of_revision(arguments.revision)
    patterns = arguments.mutant or ["*"]
    chosen = [m for m in there if any(fnmatchcase(m.name, pattern) for pattern in patterns)]
    if not chosen:
        raise NothingTried("no mutant is selected", ", ".join(patterns), "sdcpp mutants --list shows them")
    if arguments.write_docs and arguments.case:
        arguments.complain("--write-docs needs the cases that the mutants name")
    if arguments.write_docs:
        project.checkout()  # before a run of an hour
    if arguments.list:
        return _list(chosen)
    wanted = revision.find(arguments.revision)
    study = MutationRun(
        revision=wanted,
        matrix=FULL,
        folder=arguments.output if wanted.name == mutants.REVISION else arguments.output / wanted.name,
        hints=arguments.case or sorted({pattern for mutant in there for pattern in mutant.select}),
        jobs=arguments.jobs,
    )
    if not arguments.recorded:
        mutants.check(wanted, chosen)
        if arguments.restart:
            study.forget(chosen)
    if arguments.case:
        chosen = [replace(mutant, select=tuple(arguments.case)) for mutant in chosen]
    if arguments.recorded:
        outcomes = [study.recorded(mutant) for mutant in chosen]
    else:
        outcomes = list(run_all(study, chosen, full_matrix=arguments.all))
    for one in outcomes:
        console.out.print(f"{one.mutant.name:36} {outcome.describe(one)}", markup=False)
    if arguments.write_docs:
        for path in page.write([page.page_row(one) for one in outcomes]):
            console.note(f"wrote {path}")
    return 0 if all(one.state in outcome.WANTED for one in outcomes) else NOT_CAUGHT


def _list(chosen: Sequence[mutants.Mutant]) -> int:
    for mutant in chosen:
        files = ", ".join(mutant.patch.files)
        console.out.print(f"{mutant.name:36} {files:28} {mutant.mistake}", markup=False)
    return 0
