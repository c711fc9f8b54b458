"""Convert a LoRA with this converter, with upstream's and with the gguf package, and compare them."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from harness.cli.lora import options
from harness.converter import picture_loss
from harness.studies.conversion import peers
from harness.studies.conversion.peer import CONVERTERS
from sdcpp import console
from sdcpp.building.finished import require_build

RENAMED = options.RENAMED
EPILOG = """\
output
  The command prints a Markdown table of time, memory, size and loss. Each converter runs in a
  separate process; the time includes the start of Python. With --base-model it prints a second
  table: the number of tensors whose values are equal for all readers, and the errors in pictures.

examples
  sdcpp study converters style.safetensors Q4_0
  sdcpp study converters half.safetensors Q8_0 --skip-loss
  sdcpp study converters style.safetensors Q4_0 --base-model flux-small
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a LoRA")
    parser.add_argument("type", metavar="TYPE", help="the type to convert it to")
    parser.add_argument("--skip-loss", action="store_true", help="measure only time, memory and size")
    options.add_base_model(
        parser, "also read each file with the others and draw with it: flux-small or sd1-tiny"
    )
    options.add_build(parser)


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    folder = arguments.build or require_build(patched=True)
    console.out.print(f"{folder.name}\n", markup=False)
    with tempfile.TemporaryDirectory(dir=arguments.file.parent) as place:
        conversions = {
            name: peers.measure(name, folder, arguments.file, Path(place) / f"{name}.gguf", arguments.type)
            for name in CONVERTERS
        }
        for line in peers.cost_table(arguments.file, conversions, loss=not arguments.skip_loss):
            console.out.print(line, markup=False)
        if arguments.base_model:
            base = picture_loss.base_named(arguments.base_model)
            paths = {name: conversion.path for name, conversion in conversions.items()}
            exchanges = peers.exchanges(folder, base, arguments.file, paths)
            for line in ("", *peers.exchange_table(exchanges)):
                console.out.print(line, markup=False)
    return 0
