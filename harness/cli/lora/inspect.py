"""Show what LoRA files contain and what is wrong with them."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.commands import CommandParser
from harness.cli.lora import options, several
from harness.converter import text
from harness.converter.inspect import AdapterSummary, inspect
from sdcpp.waiting_line import counted

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


def add_arguments(parser: CommandParser) -> None:
    """Add the options of the command."""
    several.add_files(parser, "a LoRA")
    options.add_base_model(parser, "also check that it fits this model: a file, flux-small or sd1-tiny")
    options.add_amount(parser, "show all problems, and metadata in full", "show one line for each file")


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    return several.run_each(arguments.files, Path, lambda path: _inspect(path, arguments), arguments)


def _inspect(path: Path, arguments: argparse.Namespace) -> several.Result:
    with counted(f"reading {path.name}") as progress:
        found = inspect(path, arguments.base_model, progress)
    # A file that cannot be read is worse than one with problems.
    status = COMPLAINTS if found.complaints else 0
    return several.Result(data=found.as_json, text=lambda: _text(found, arguments), status=status)


def _text(found: AdapterSummary, arguments: argparse.Namespace) -> str:
    return text.summary(found, verbose=arguments.verbose, quiet=arguments.quiet)
