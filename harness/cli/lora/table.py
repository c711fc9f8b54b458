"""Show the size and the loss of one LoRA for each type."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from harness.cli.lora import options
from harness.converter import picture_loss, table
from harness.quantising.package_quantiser import open_quantiser
from harness.text import json_text
from sdcpp import console
from sdcpp.building.finished import newest_build

RENAMED = {**options.RENAMED, "--types": ("--type",)}
EPILOG = """\
examples
  sdcpp lora table style.safetensors
  sdcpp lora table style.safetensors --type Q8_0 --type Q4_K,Q4_0 --base-model flux-small
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a LoRA")
    parser.add_argument(
        "--type",
        type=_rows,
        action="extend",
        default=[],
        metavar="TYPE[,TYPE]",
        help="a row of the table, as in convert; may be repeated (default: the usual types)",
    )
    options.add_base_model(parser, "also show the error in pictures of this model: flux-small or sd1-tiny")
    parser.add_argument(
        "--pad-rank", action="store_true", help="also show each type with the rank padded to whole blocks"
    )
    options.add_build(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def _rows(text: str) -> list[str]:
    """Return the rows that one ``--type`` names: one, or in the former spelling several with ";" between them."""
    return [",".join(options.type_names(row)) for row in text.split(";")]


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    folder = arguments.build or newest_build()
    with open_quantiser(folder) as quantiser:
        base = picture_loss.base_named(arguments.base_model) if arguments.base_model else None
        types = table.type_rows(
            arguments.file, quantiser, arguments.type, base, folder, pad=arguments.pad_rank
        )
        if arguments.json:
            console.out.out(json_text([asdict(row) for rows in types for row in rows]), highlight=False)
        else:
            for line in table.lines(types):
                console.out.print(line, markup=False)
    return 0
