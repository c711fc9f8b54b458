"""Ask the built library to which layers the names of LoRAs lead, for every family of models."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from fnmatch import fnmatchcase

from harness.cases.families import with_bases
from harness.cli import options
from harness.records import understood_names
from harness.records.understood_names import NamesOfBuild
from harness.studies.names import measurement, program
from harness.verification.sides import RunSpec, build_revision
from sdcpp import console, project
from sdcpp.patching import series
from sdcpp.source import revision, workspace

#: The revision whose families and names are tested unless another is named.
REVISION = "2026-07"

RENAMED = options.RENAMED_SIDES
EPILOG = """\
output
  A small program, linked with each build, prints what the library makes of each name. The layers
  and their names by trainer are in harness/layers. Each line is a trainer's names for a family of
  models: how many lead to their layer, and the first that does not, with what the library makes
  of it. --write-docs keeps the result in results/names.json; then run
  sdcpp combine results/families/*.jsonl* --names docs/names.md

examples
  sdcpp study names                                 every version of 2026-07
  sdcpp study names --version 'Wan*' --all          every trainer of some families
  sdcpp study names --write-docs
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--revision",
        default=REVISION,
        metavar="NAME",
        help=f"a revision of revisions.toml (default: {REVISION})",
    )
    options.add_side(parser, "both")
    parser.add_argument(
        "--version",
        default="*",
        metavar="PATTERN",
        help="only families whose name matches this shell wildcard",
    )
    parser.add_argument(
        "--all", action="store_true", help="also list the trainers whose names are all understood"
    )
    parser.add_argument("--write-docs", action="store_true", help="write results/names.json")


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.write_docs:
        project.checkout()
    builds = measure(arguments.revision, options.SIDES[arguments.side])
    for build in builds:
        _print(build, arguments.version, everything=arguments.all)
    if arguments.write_docs:
        console.note(f"wrote {understood_names.write(builds)}")
    return 0


def measure(name: str, labels: Sequence[str]) -> list[NamesOfBuild]:
    """Build the sides of a revision and ask each about every name."""
    wanted = revision.find(name)
    numbers = program.version_numbers(workspace.workspace(wanted))
    built = build_revision(wanted, series.load(), RunSpec(matrix=with_bases(()), sides=labels))
    return [measurement.measure(build, numbers, name) for build in built.builds]


def _print(build: NamesOfBuild, pattern: str, *, everything: bool) -> None:
    console.out.print(f"{build.revision} {build.state}", markup=False)
    for row in build.rows:
        if fnmatchcase(row.version, pattern) and (everything or row.wrong):
            counted = f"{row.right} of {row.total}"
            what = f" {row.text_encoder}" if row.text_encoder else ""
            console.out.print(f"  {row.version:20} {row.trainer:18} {counted:>11}{what}", markup=False)
            if row.wrong:
                console.out.print(f"      {row.wrong}\n      leads to {row.leads_to}", markup=False)
    if build.absent:
        console.out.print(f"  not in this revision: {', '.join(build.absent)}", markup=False)
