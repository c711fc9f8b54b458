"""Write a LoRA in another container or type."""

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

RENAMED = {**options.RENAMED, "--anyway": ("--force",)}
EPILOG = """\
The suffix of the output decides its container: .safetensors, .gguf or .ckpt. Without --type every
tensor keeps its type and its bits. With a quantised type, matrices whose rows are whole blocks get
that type; scalars, vectors and other matrices stay float. --verbose shows the reason for each
tensor. The types are those of the built library, or without a build those of the gguf package.

examples
  sdcpp lora convert style.safetensors style.gguf --type Q8_0
  sdcpp lora convert style.safetensors style.gguf --type Q4_K,Q4_0   Q4_0 for short rows
  sdcpp lora convert style.safetensors style.gguf --max-loss 2%      the smallest such file
  sdcpp lora convert style.safetensors style.gguf --type Q4_0 --rebalance
  sdcpp lora convert style.gguf style.safetensors                    its values, exactly
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("input", type=Path, metavar="IN", help="a .safetensors, .gguf or .ckpt file")
    parser.add_argument("output", type=Path, metavar="OUT", help="the file to write")
    options.add_types(parser)
    parser.add_argument(
        "--max-loss",
        type=percentage,
        metavar="SHARE",
        help="choose the smallest types with a relative error of ΔW below this: 2%% or 0.02",
    )
    parser.add_argument(
        "--rebalance",
        action="store_true",
        help="choose other factors of the same ΔW where they lose less at the same size",
    )
    parser.add_argument(
        "--pad-rank", action="store_true", help="with --rebalance: pad the rank to whole blocks"
    )
    options.add_base_model(parser, "refuse a LoRA that does not fit this model; see sdcpp lora inspect")
    parser.add_argument(
        "--force",
        action="store_true",
        help="also convert a LoRA that has NaN or lacks parts, as far as possible",
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
        raise argparse.ArgumentTypeError(f"{text!r} is not a share between 0 and 1: write 2% or 0.02")
    return value


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.pad_rank and not arguments.rebalance:
        arguments.complain("--pad-rank needs --rebalance")
    if arguments.base_model:
        require_fit(arguments.input, arguments.base_model)
    with open_quantiser(arguments.build) as quantiser:
        if arguments.max_loss:
            choice = type_choice.convert_within_loss(
                arguments.input,
                arguments.output,
                arguments.max_loss,
                quantiser,
                arguments.type,
                rebalance=arguments.rebalance,
            )
            done = choice.conversion
        else:
            done = convert(
                arguments.input,
                arguments.output,
                arguments.type,
                quantiser,
                force=arguments.force,
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
