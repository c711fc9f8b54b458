"""Compare a LoRA that is merged before the base model is quantised with one that the library applies."""

from __future__ import annotations

import argparse

from harness.cli.lora import options
from harness.models import tiny_models
from harness.studies.conversion import premerged
from sdcpp import console
from sdcpp.building.finished import require_build

#: The ratios ‖ΔW‖ / ‖W‖ that are measured by default.
STRENGTHS = (0.02, 0.1, 0.5)

RENAMED = options.RENAMED
EPILOG = """\
output
  The command prints a Markdown table with the error in pictures of each way, relative to the
  effect of the LoRA on the float base model.

examples
  sdcpp study premerged
  sdcpp study premerged --type Q4_0 --strength 0.05 --strength 0.5
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--type", default="Q8_0", metavar="TYPE", help="the type of the base model (default: %(default)s)"
    )
    parser.add_argument(
        "--strength",
        type=float,
        action="append",
        metavar="RATIO",
        help=f"‖ΔW‖ / ‖W‖; may be repeated (default: {', '.join(map(str, STRENGTHS))})",
    )
    options.add_build(parser, "the newest without and the newest with the patches")


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    folders = [arguments.build] if arguments.build else [require_build(), require_build(patched=True)]
    for line in premerged.heading(arguments.type):
        console.out.print(line, markup=False)
    for strength in arguments.strength or STRENGTHS:
        for folder in dict.fromkeys(folders):
            line = premerged.row(folder, tiny_models.FLUX_SMALL, arguments.type, strength)
            console.out.print(line, markup=False)
    return 0
