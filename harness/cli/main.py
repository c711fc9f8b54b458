"""The ``sdcpp`` command: the table of its commands, and the only place where errors become exit statuses."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from harness.cli.commands import Command, CommandParser, add_commands
from sdcpp import console, project
from sdcpp.errors import Error

COMMANDS = {
    "verify": Command("harness.cli.verify", "test GGUF LoRA loading with and without the patches"),
    "matrix": Command("harness.cli.matrix", "try every type, kind, mode and sequence"),
    "reproduce": Command(
        "harness.cli.reproduce", "write one case as files and commands for upstream's own program"
    ),
    "regress": Command("harness.cli.regress", "run the quick and the full matrix on one backend"),
    "merge": Command("harness.cli.combine", "join the records of many machines"),
    "mutants": Command("harness.cli.mutants", "prove that the cases catch mistakes"),
    "stability": Command("harness.cli.repeat", "does the same run give the same pictures again?"),
    "history": Command("harness.cli.history", "the core cases on every revision in the registry"),
    "bisect": Command("harness.cli.bisect", "which revision broke or mended a case?"),
    "bench": Command("harness.cli.bench", "cases a minute, beside upstream's own program"),
    "build": Command("harness.cli.build", "compile the library"),
    "bundle": Command("harness.cli.bundle", "pack a run for another machine into one file"),
    "doctor": Command("harness.cli.doctor", "what is missing for which backend"),
    "patch": Command("harness.cli.patch", "the patch series: state, working tree, export, check"),
    "lora": Command("harness.cli.lora.verbs", "convert, inspect, compare and merge LoRA files"),
}
#: What a shell shows for a program that Ctrl-C ended.
INTERRUPTED = 130


class _Version(argparse.Action):
    """Print the project's version and its commit, and exit."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        console.out.print(f"sdcpp {project.version()}", markup=False)
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = CommandParser(
        prog="sdcpp",
        description="Build stable-diffusion.cpp at any revision and test GGUF LoRA loading in it.",
        epilog="Each command explains itself: sdcpp COMMAND --help",
    )
    top.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    add_commands(top, COMMANDS)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
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
