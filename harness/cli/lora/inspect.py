"""Show what a LoRA file contains and what is wrong with it."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.lora import options
from harness.converter import text
from harness.converter.inspect import inspect

#: Exit status for a file that has something wrong.
COMPLAINTS = 1

RENAMED = options.RENAMED
EPILOG = """\
examples
  sdcpp lora inspect style.gguf
  sdcpp lora inspect style.gguf --base-model flux1-schnell.safetensors
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a LoRA")
    options.add_base_model(parser, "also check that it fits this model: a file, flux-small or sd1-tiny")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    found = inspect(arguments.file, arguments.base_model)
    options.show(found.as_json, lambda: text.summary(found), as_json=arguments.json)
    return COMPLAINTS if found.complaints else 0
