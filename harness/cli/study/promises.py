"""Show what the project promises, area by area, and the figures of the last measurement."""

from __future__ import annotations

import argparse

from harness.studies import badges, promises
from sdcpp import console

EPILOG = """\
output
  The command prints a line for each figure, with its date and the command that measures it again.
  All are read from the records in results/; nothing is built or run.

examples
  sdcpp study promises
  sdcpp study promises --write-docs      write docs/promises.md and the badges of README.md
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--write-docs", action="store_true", help="write docs/promises.md and the badges of README.md"
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.write_docs:
        for path in (promises.write(), *badges.write()):
            console.note(f"wrote {path}")
        return 0
    for promise in promises.promises(promises.RESULTS):
        console.out.print(f"{promise.area}: {promise.promise}", markup=False, soft_wrap=True)
        for figure in promise.figures:
            sign = "kept    " if figure.kept else "not kept"
            line = f"  {sign}  {figure.subject}: {figure.text} ({figure.date}: {figure.command})"
            console.out.print(line, markup=False, soft_wrap=True)
    return 0
