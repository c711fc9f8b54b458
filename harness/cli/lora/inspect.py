"""Show what LoRA files contain and what is wrong with them."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.lora import options
from harness.converter import text
from harness.converter.inspect import AdapterSummary, inspect
from harness.text import json_text
from sdcpp import console
from sdcpp.errors import Error

#: Exit status for a file that has something wrong.
COMPLAINTS = 1

RENAMED = options.RENAMED
EPILOG = """\
The first line of a file says what it is and whether anything is wrong. With several files, one that
cannot be read does not keep the others from being shown; its exit status is that of the command.

examples
  sdcpp lora inspect style.gguf
  sdcpp lora inspect style.gguf --base-model flux1-schnell.safetensors
  sdcpp lora inspect -q loras/*.safetensors
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a LoRA")
    options.add_base_model(parser, "also check that it fits this model: a file, flux-small or sd1-tiny")
    options.add_amount(parser, "show all problems, and metadata in full", "show one line for each file")


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if len(arguments.files) == 1:
        found = inspect(arguments.files[0], arguments.base_model)
        options.show(found.as_json, lambda: _text(found, arguments), as_json=arguments.json)
        return COMPLAINTS if found.complaints else 0
    results: list[object] = []
    statuses = []
    for path in arguments.files:
        try:
            found = inspect(path, arguments.base_model)
        except Error as error:
            results.append({"path": path.name, "error": str(error)})
            console.error(error)
            statuses.append(error.exit_code)
            continue
        results.append(found.as_json())
        statuses.append(COMPLAINTS if found.complaints else 0)
        if not arguments.json:
            console.out.print(_text(found, arguments), markup=False)
    if arguments.json:
        console.out.out(json_text(results), highlight=False)
    # A file that cannot be read is worse than one with problems.
    return max(statuses)


def _text(found: AdapterSummary, arguments: argparse.Namespace) -> str:
    return text.summary(found, verbose=arguments.verbose, quiet=arguments.quiet)
