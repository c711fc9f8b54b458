"""``sdcpp lora convert``: write a LoRA in another container or type."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from harness.cli.lora import options
from harness.converter import text, type_choice
from harness.converter.convert import convert
from harness.converter.inspect import require_fit
from harness.quantising.package_quantiser import open_quantiser
from sdcpp import console
from sdcpp.errors import FileInvalid

EPILOG = """\
examples
  sdcpp lora convert style.safetensors style.gguf --type Q8_0
  sdcpp lora convert style.safetensors style.gguf --max-loss 2%        the smallest file that loses no more
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("input", type=Path, metavar="IN")
    parser.add_argument("output", type=Path, metavar="OUT")
    options.add_types(parser)
    parser.add_argument(
        "--max-loss",
        type=percentage,
        metavar="SHARE",
        help="choose the smallest types that lose less: 2%% or 0.02",
    )
    parser.add_argument(
        "--rebalance",
        action="store_true",
        help="choose other factors of the same ΔW where they lose less at the same size",
    )
    parser.add_argument(
        "--pad-rank", action="store_true", help="with --rebalance: pad the rank to whole blocks"
    )
    parser.add_argument("--base", metavar="MODEL", help="refuse what does not fit this model; see inspect")
    parser.add_argument(
        "--anyway", action="store_true", help="convert what has NaN in it or lacks parts, as far as that goes"
    )
    parser.add_argument("--verbose", action="store_true", help="show every tensor's type and why")


def percentage(text: str) -> float:
    """Return "2%" or "0.02" as 0.02."""
    found = re.fullmatch(r"([0-9.]+)\s*(%?)", text)
    try:
        value = float(found.group(1)) / (100 if found.group(2) else 1) if found else 0.0
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: write 2% or 0.02")
    return value


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.pad_rank and not arguments.rebalance:
        raise FileInvalid("--pad-rank needs", "--rebalance", "add it")
    if arguments.base:
        require_fit(arguments.input, arguments.base)
    with open_quantiser(arguments.library) as made:
        if arguments.max_loss:
            choice = type_choice.convert_within_loss(
                arguments.input,
                arguments.output,
                arguments.max_loss,
                made,
                arguments.type,
                rebalance=arguments.rebalance,
            )
            done = choice.conversion
        else:
            done = convert(
                arguments.input,
                arguments.output,
                arguments.type,
                made,
                anyway=arguments.anyway,
                rebalance=arguments.rebalance,
                pad=arguments.pad_rank,
            )
    console.out.print(text.conversion(done, verbose=arguments.verbose), markup=False)
    if arguments.max_loss:
        console.out.print(
            f"relative error of ΔW: predicted {choice.predicted:.3%}, measured {choice.measured:.3%}, "
            f"allowed {arguments.max_loss:.3%}",
            markup=False,
        )
    return 0
