"""Convert the adapters of all cells that fail without patches, and check that each then passes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from harness.cli import runs
from harness.records.record import Cell
from harness.records.verdict import Verdict
from harness.studies.conversion import twins
from harness.verification.run import run_sides
from sdcpp import console

RESUMES = True
RENAMED = runs.RENAMED
EPILOG = """\
output
  Each cell of the matrix that expectations.toml says fails on an unpatched revision gets a
  twin: the same case with the file that sdcpp lora convert --for REVISION makes of its adapter.
  The command prints the number of twins that pass, each that does not, and the cells without a
  twin with the reasons. The output folder keeps the records and the converted files.
  Exit status 0: every twin passes. 1: otherwise.

examples
  sdcpp study twins --revision 2026-05
  sdcpp study twins --revision 2026-07 --matrix families
  sdcpp study twins --revision 2026-07 --where kind=dora*
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    runs.add_arguments(parser, "twins")
    parser.add_argument(
        "--matrix", choices=("full", "families"), default="full", help="the cells (default: %(default)s)"
    )
    parser.set_defaults(checkout=None)


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    name = arguments.matrix
    command = ["sdcpp", "study", "twins", *(["--matrix", name] if name != "full" else [])]
    if arguments.list:
        return runs.list_cases(arguments, [name])
    runs.require_selection(arguments, [name])
    with runs.all_sides(arguments, name, command, ("pristine",), arguments.output) as made:
        found = [twins.twins(build, arguments.output / "files") for build in made]
        cells: Sequence[Cell] = []
        if any(each.build.cases for each in found):
            cells = run_sides(
                [each.build for each in found],
                arguments.output,
                title="converted twins",
                command=runs.shell_command(arguments, command),
                jobs=arguments.jobs,
            ).cells
    for line in twins.report(found, cells):
        console.out.print(line, markup=False, soft_wrap=True)
    return 0 if all(cell.verdict is Verdict.PASS for cell in cells) else runs.NOT_AS_EXPECTED
