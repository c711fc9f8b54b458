"""Show the size and the loss of one LoRA for each type."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from harness.cli.commands import CommandParser
from harness.cli.lora import options, several
from harness.converter import picture_loss, table
from harness.models.base_model import Base
from harness.quantising.package_quantiser import open_quantiser
from harness.quantising.quantiser import Quantiser
from sdcpp.building.finished import newest_build
from sdcpp.waiting_line import Progress, counted, unseen

RENAMED = {**options.RENAMED, "--types": ("--type",)}
EPILOG = """\
examples
  sdcpp lora table style.safetensors
  sdcpp lora table style.safetensors --type Q8_0 --type Q4_K,Q4_0 --base-model flux-small
  sdcpp lora table -q loras/*.safetensors --type Q8_0
"""


def add_arguments(parser: CommandParser) -> None:
    """Add the options of the command."""
    several.add_files(parser, "a LoRA")
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
    options.add_amount(
        parser, "also show how many tensors have which type in each file", "show the lines of types only"
    )


def _rows(text: str) -> list[str]:
    """Return the rows that one ``--type`` names: one, or in the former spelling several with ";" between them."""
    return [",".join(options.type_names(row)) for row in text.split(";")]


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    folder = arguments.build or newest_build()
    base = picture_loss.base_named(arguments.base_model) if arguments.base_model else None
    with open_quantiser(folder) as quantiser:
        return several.run_each(
            arguments.files, Path, lambda path: _table(path, quantiser, base, folder, arguments), arguments
        )


def _table(
    path: Path, quantiser: Quantiser, base: Base | None, folder: Path | None, arguments: argparse.Namespace
) -> several.Result:
    """Return the table of a file. With several files it has the name of the file above it."""

    def rows() -> Iterator[list[table.TypeRow]]:
        began = time.monotonic()
        progress: list[Progress] = [unseen]

        def show(done: float, of: float) -> None:
            progress[0](done, of)

        found = table.type_rows(
            path,
            quantiser,
            arguments.type,
            base,
            folder,
            pad=arguments.pad_rank,
            progress=show,
        )
        while True:
            # The waiting line ends before a row is printed, which may be on the same terminal.
            with counted(f"trying types for {path.name}", began=began) as progress[0]:
                of_type = next(found, None)
            if of_type is None:
                return
            yield of_type

    several_files = len(arguments.files) > 1

    def data() -> object:
        values = [asdict(row) for of_type in rows() for row in of_type]
        return {"path": path.name, "rows": values} if several_files else values

    return several.Result(
        data=data,
        text=lambda: table.text(
            path if several_files else None, rows(), verbose=arguments.verbose, quiet=arguments.quiet
        ),
    )
