"""Write a LoRA in another container or type."""

from __future__ import annotations

import argparse
import re
from dataclasses import asdict
from pathlib import Path

from harness.cli.lora import options
from harness.converter import requirements, short_rows, text, type_choice
from harness.converter.convert import convert
from harness.converter.inspect import require_fit
from harness.converter.modules import layout_of
from harness.formats.read import read_tensors
from harness.quantising.package_quantiser import open_quantiser

RENAMED = {**options.RENAMED, "--anyway": ("--force",)}
EPILOG = """\
The suffix of the output decides its container: .safetensors, .gguf or .ckpt. Without --type every
tensor keeps its type and its bits. With a quantised type, matrices whose rows are whole blocks get
that type; scalars, vectors and other matrices stay float. --verbose shows the reason for each
tensor. The types are those of the built library, or without a build those of the gguf package.

The last lines say which revisions of stable-diffusion.cpp cannot use the file without patches, or
only in some apply modes, and what to do. They are what expectations.toml predicts for the CPU;
nothing is run.

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
    options.add_no_clobber(parser)
    options.add_amount(
        parser,
        "show every tensor's type and why, and why a revision cannot use the file",
        "show the sizes only",
    )


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
    options.require_free(arguments.output, arguments)
    if arguments.base_model:
        require_fit(arguments.input, arguments.base_model)
    choice = None
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
    file = read_tensors(arguments.output)
    needs = requirements.shortcomings(file) if layout_of(file).modules else []
    advice = short_rows.advice(done.plans)
    lines = [text.conversion(done, verbose=arguments.verbose, quiet=arguments.quiet)]
    data = {**done.as_json(), "advice": advice, "needs": [asdict(each) for each in needs]}
    if choice:
        data |= {"predicted_loss": choice.predicted, "measured_loss": choice.measured}
        lines.append(
            f"relative error of ΔW: predicted {choice.predicted:.3%}, measured {choice.measured:.3%}, "
            f"allowed {arguments.max_loss:.3%}"
        )
    if not arguments.quiet:
        lines += [advice] if advice else []
        lines += requirements.described(needs, verbose=arguments.verbose)
    options.show(lambda: data, lambda: "\n".join(lines), as_json=arguments.json)
    return 0
