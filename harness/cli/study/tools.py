"""Compare sdcpp lora combine, resize and extract with PEFT and sd-scripts."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path

from harness.cli.options import positive
from harness.studies.conversion import lora_tools
from harness.studies.conversion.lora_tools import HEADING, Peers
from sdcpp import console

RENAMED: Mapping[str, tuple[str, ...]] = {}
EPILOG = """\
--python names a Python that has torch and peft, such as that of a virtual environment; --sd-scripts
a checkout of sd-scripts, which also needs tqdm there. Without them only this project is measured.

output
  The command prints a Markdown table for combining two LoRAs, one for resizing a LoRA of twice the
  rank, and one for extracting a LoRA from two models: the relative error of all ΔW, seconds with
  the start of Python, peak memory, and size.

examples
  sdcpp study tools
  sdcpp study tools --python peers/bin/python --sd-scripts sd-scripts --layers 8 --width 1280
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--python", type=Path, metavar="FILE", help="a Python with torch and peft")
    parser.add_argument("--sd-scripts", type=Path, metavar="DIR", help="a checkout of sd-scripts")
    parser.add_argument("--layers", type=positive, default=8, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--width",
        type=positive,
        default=1280,
        metavar="N",
        help="rows and columns of a layer (default: %(default)s)",
    )
    parser.add_argument("--rank", type=positive, default=16, metavar="N", help="default: %(default)s")


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.sd_scripts and not arguments.python:
        arguments.complain("--sd-scripts needs --python")
    peers = Peers(python=arguments.python, scripts=arguments.sd_scripts)
    for study in (lora_tools.combinations, lora_tools.resizes, lora_tools.extractions):
        for line in HEADING:
            console.out.print(line, markup=False)
        with tempfile.TemporaryDirectory(prefix="sdcpp-") as folder:
            for cost in study(Path(folder), arguments.layers, arguments.width, arguments.rank, peers):
                console.out.print(cost.row(), markup=False)
        console.out.print()
    return 0
