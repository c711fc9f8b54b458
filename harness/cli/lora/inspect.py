"""``sdcpp lora inspect``: what a LoRA file has in it, and what is wrong with it."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.lora import options
from harness.converter import text
from harness.converter.inspect import inspect

#: Exit status for a file that has something wrong.
COMPLAINTS = 1

EPILOG = """\
examples
  sdcpp lora inspect style.gguf
  sdcpp lora inspect style.gguf --base flux1-schnell.safetensors
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--base", metavar="MODEL", help="a model's file, or flux-small or sd1-tiny")
    parser.add_argument("--json", action="store_true")


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    found = inspect(arguments.file, arguments.base)
    options.show(found.as_json, lambda: text.findings(found), as_json=arguments.json)
    return COMPLAINTS if found.complaints else 0
