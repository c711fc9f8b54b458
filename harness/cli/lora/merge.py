"""Merge LoRAs into a base model."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.lora import options
from harness.converter import text
from harness.converter.merge_into_base import merge, parse_adapter_argument
from harness.quantising.package_quantiser import open_quantiser
from sdcpp import console

RENAMED = options.RENAMED
EPILOG = """\
examples
  sdcpp lora merge model.safetensors style.gguf merged.safetensors
  sdcpp lora merge model.safetensors style.gguf@0.8 merged.gguf --type Q8_0
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("base", type=Path, metavar="BASE", help="the file of the base model")
    parser.add_argument("adapters", nargs="+", metavar="ADAPTER[@MULTIPLIER]", help="a LoRA")
    parser.add_argument("output", type=Path, metavar="OUT", help="the file to write")
    options.add_types(parser)


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    with open_quantiser(arguments.build) as quantiser:
        done = merge(
            arguments.base,
            [parse_adapter_argument(each) for each in arguments.adapters],
            arguments.output,
            arguments.type,
            quantiser,
        )
    console.out.print(text.conversion(done), markup=False)
    return 0
