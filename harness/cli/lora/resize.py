"""Write a LoRA with a smaller rank: the best approximation of each ΔW."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.commands import CommandParser
from harness.cli.lora import options, several
from harness.converter.resize import resize
from sdcpp.waiting_line import counted

RENAMED: dict[str, tuple[str, ...]] = {}
EPILOG = """\
The rank is chosen for each module: --rank takes the same number for all, --loss the smallest rank
whose ΔW differs by at most this share (in the Frobenius norm), and --keep the smallest rank that
keeps this share of the energy ‖ΔW‖². --keep 0.99 is the same as --loss 0.1. A rank is never raised.
The scale stays, because alpha changes with the rank.

LoHa, LoKr and stored differences become plain LoRAs under sd-scripts' names. Biases, norms,
replaced tensors and the magnitudes of DoRA are copied. Quantised factors become F16; quantise the
result with sdcpp lora convert. Only one module is in memory at a time.

With several files and --output-dir, one that cannot be resized does not keep the others from
being written; its exit status is that of the command.

examples
  sdcpp lora resize style.safetensors small.safetensors --rank 16
  sdcpp lora resize style.safetensors small.safetensors --loss 5%
  sdcpp lora resize lokr.safetensors lora.gguf --keep 99%
  sdcpp lora resize loras/*.safetensors --output-dir small --rank 16
"""


def add_arguments(parser: CommandParser) -> None:
    """Add the options of the command."""
    several.add_outputs(parser, "a .safetensors, .gguf or .ckpt file")
    options.add_rank_choice(parser, required=True)
    options.add_no_clobber(parser)
    options.add_amount(parser, "show the rank and the error of each module", "show one line")


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    return several.run_each(
        several.pairs(arguments), lambda pair: pair[0], lambda pair: _resize(*pair, arguments), arguments
    )


def _resize(source: Path, target: Path, arguments: argparse.Namespace) -> several.Result:
    options.require_free(target, arguments)
    choice = options.rank_choice(arguments)
    assert choice is not None  # noqa: S101 - one of its options is required
    with counted(f"resizing {source.name}") as progress:
        found = resize(source, target, choice, progress)
    return several.Result(
        data=found.as_json, text=lambda: found.text(verbose=arguments.verbose, quiet=arguments.quiet)
    )
