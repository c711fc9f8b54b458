"""Compare sdcpp lora combine, resize and extract with PEFT and sd-scripts."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from harness.cli.options import positive
from harness.studies.conversion import lora_tools, tool_study, tools_page
from harness.studies.conversion.lora_tools import Peers
from harness.studies.conversion.tool_study import ToolStudy
from sdcpp import console, project
from sdcpp.process import quoted

RENAMED: Mapping[str, tuple[str, ...]] = {}
EPILOG = """\
--python names a Python that has torch and peft, such as that of a virtual environment; --sd-scripts
a checkout of sd-scripts, which also needs tqdm there. Without them only this project is measured.

output
  The command prints a page with a table for combining two LoRAs, one for resizing a LoRA of twice
  the rank, and one for extracting a LoRA from two models: the relative error of all ΔW, seconds
  with the start of Python, peak memory, and size.

examples
  sdcpp study tools
  sdcpp study tools --python peers/bin/python --sd-scripts sd-scripts --layers 8 --width 1280
  sdcpp study tools --recorded --write-docs
"""
_STUDIES = {
    "combine": lora_tools.combinations,
    "resize": lora_tools.resizes,
    "extract": lora_tools.extractions,
}


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
    parser.add_argument(
        "--recorded", action="store_true", help="measure nothing, read results/lora-tools.json"
    )
    parser.add_argument(
        "--write-docs", action="store_true", help="write results/lora-tools.json and docs/lora-tools.md"
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.sd_scripts and not arguments.python:
        arguments.complain("--sd-scripts needs --python")
    if arguments.write_docs:
        project.checkout()
    found = tool_study.read() if arguments.recorded else _measured(arguments)
    console.out.print(tools_page.text(found), markup=False, highlight=False)
    if arguments.write_docs:
        if not arguments.recorded:
            tool_study.write(found)
        tools_page.write(found)
        console.note(f"wrote {tool_study.PAGE}")
    return 0


def _measured(arguments: argparse.Namespace) -> ToolStudy:
    peers = Peers(python=arguments.python, scripts=arguments.sd_scripts)
    layers, width, rank = arguments.layers, arguments.width, arguments.rank
    command = quoted(["sdcpp", *sys.argv[1:]])
    found = tool_study.new(peers, layers=layers, width=width, rank=rank, command=command)
    for table, study in _STUDIES.items():
        costs = []
        with tempfile.TemporaryDirectory(prefix="sdcpp-") as folder:
            for cost in study(Path(folder), layers, width, rank, peers):
                costs.append(cost)
                taken = "" if cost.seconds is None else f" in {cost.seconds:.1f} s"
                console.note(f"   {table}: {cost.tool}, error {cost.error:.4%}{taken}")
        found = found.with_costs(table, costs)
    return found
