"""Merge LoRAs into a base model."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.lora import options, several
from harness.converter import text
from harness.converter.merge_into_base import merge, parse_adapter_argument
from harness.quantising.package_quantiser import open_quantiser
from sdcpp.waiting_line import counted

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
    options.add_no_clobber(parser)
    options.add_amount(parser, "show every tensor's type and why", "show the sizes only")


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    return several.run_each([arguments.output], Path, lambda _: _merge(arguments), arguments)


def _merge(arguments: argparse.Namespace) -> several.Result:
    options.require_free(arguments.output, arguments)
    with open_quantiser(arguments.build) as quantiser, counted("merging") as progress:
        done = merge(
            arguments.base,
            [parse_adapter_argument(each) for each in arguments.adapters],
            arguments.output,
            arguments.type,
            quantiser,
            progress=progress,
        )
    return several.Result(
        data=done.as_json,
        text=lambda: text.conversion(done, verbose=arguments.verbose, quiet=arguments.quiet),
    )
