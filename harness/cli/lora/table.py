"""``sdcpp lora table``: what each type costs and loses, for one LoRA."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.lora import options
from harness.converter import picture_loss, table
from harness.quantising.package_quantiser import open_quantiser
from sdcpp import console
from sdcpp.building.finished import newest_build

EPILOG = """\
examples
  sdcpp lora table style.safetensors
  sdcpp lora table style.safetensors --types 'Q8_0;Q4_K,Q4_0' --base flux-small
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--types", metavar="TYPE;TYPE", help="separated by semicolons, each as for --type")
    parser.add_argument("--base", metavar="MODEL", help="also in pictures: flux-small or sd1-tiny")
    parser.add_argument("--pad-rank", action="store_true", help="also with the rank padded to whole blocks")
    options.add_library(parser)


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    folder = arguments.library or newest_build()
    kinds = [text.strip() for text in arguments.types.split(";")] if arguments.types else []
    with open_quantiser(folder) as made:
        base = picture_loss.base_named(arguments.base) if arguments.base else None
        found = table.type_rows(arguments.file, made, kinds, base, folder, pad=arguments.pad_rank)
    console.out.print(table.text(found), markup=False)
    return 0
