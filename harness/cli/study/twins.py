"""Convert the adapters of all cells that fail without patches, and check that each then passes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from harness.cli import runs
from harness.records import compact
from harness.records.record import Cell
from harness.studies.conversion import twins, twins_page
from harness.verification.run import run_sides
from sdcpp import console, project

RESUMES = True
RENAMED = runs.RENAMED
#: The file in the output folder that belongs into results/twins/.
COMPACT = "twins.jsonl"
EPILOG = """\
output
  Each cell of the matrix that expectations.toml says fails on an unpatched revision gets a
  twin: the same case with the file that sdcpp lora convert --for REVISION makes of its adapter.
  The command prints the number of twins that pass, each that does not, and the cells without a
  twin with the reasons. The output folder keeps the records and the converted files;
  twins.jsonl there is a small copy of the records for results/twins/, from which --recorded
  makes docs/twins.md.
  Exit status 0: every twin passes. 1: otherwise.

examples
  sdcpp study twins --revision 2026-05
  sdcpp study twins --revision 2026-07 --matrix families
  sdcpp study twins --revision 2026-07 --case 'dora*'
  sdcpp study twins --recorded --write-docs
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    runs.add_arguments(parser, "twins")
    parser.add_argument(
        "--matrix", choices=("full", "families"), default="full", help="the cells (default: %(default)s)"
    )
    parser.add_argument("--recorded", action="store_true", help="run nothing, read results/twins/")
    parser.add_argument("--write-docs", action="store_true", help="with --recorded: write docs/twins.md")
    parser.set_defaults(checkout=None)


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.recorded:
        return _show(arguments)
    if arguments.write_docs:
        arguments.complain("--write-docs needs --recorded")
    name = arguments.matrix
    command = ["sdcpp", "study", "twins", *(["--matrix", name] if name != "full" else [])]
    if arguments.list:
        return runs.list_cases(arguments, [name])
    runs.require_selection(arguments, [name])
    with runs.all_sides(arguments, name, command, ("pristine",), arguments.output) as made:
        found = [twins.twins(build, arguments.output / "files") for build in made]
        cells: Sequence[Cell] = []
        if any(each.cases for each in found):
            records = run_sides(
                found,
                arguments.output,
                title="converted twins",
                command=runs.shell_command(arguments, command),
                jobs=arguments.jobs,
                expected=(),
            )
            compact.write([records], arguments.output / COMPACT)
            cells = records.cells
    for build in found:
        for line in twins.report(build.side.label, cells):
            console.out.print(line, markup=False, soft_wrap=True)
    return runs.NOT_AS_EXPECTED if twins.failed(cells) else 0


def _show(arguments: argparse.Namespace) -> int:
    """Print the recorded results; write the page if that is asked for."""
    project.checkout()
    found = twins_page.recorded()
    for line in twins_page.table(found):
        console.out.print(line, markup=False, soft_wrap=True)
    if arguments.write_docs:
        twins_page.write(found)
        console.note(f"wrote {twins_page.PAGE}")
    return 0
