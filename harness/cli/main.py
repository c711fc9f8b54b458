"""The command line: one subcommand a module of ``harness.cli``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from harness.cli import COMMANDS
from sdcpp import console
from sdcpp.errors import Error

#: What a shell shows for a program that Ctrl-C ended.
INTERRUPTED = 130


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="sdcpp",
        description="Build stable-diffusion.cpp at any revision and test GGUF LoRA loading in it.",
        epilog="Each command explains itself: sdcpp COMMAND --help",
    )
    subparsers = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.register(subparsers)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: the only place where errors become statuses."""
    arguments = parser().parse_args(argv)
    try:
        return int(arguments.main(arguments))
    except Error as error:
        console.error(error)
        return error.exit_code
    except KeyboardInterrupt:
        console.note("interrupted; what was finished is kept, the same command goes on from there")
        return INTERRUPTED


def run() -> None:
    """Entry point of the console script."""
    sys.exit(main())


if __name__ == "__main__":
    run()
