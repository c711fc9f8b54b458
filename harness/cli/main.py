"""The ``sdcpp`` command: the table of its commands, and the only place where errors become exit statuses."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.cli import failures
from harness.cli.commands import Command, CommandParser, add_commands
from sdcpp import console, project, standard_streams

COMMANDS = {
    "verify": Command(
        module="harness.cli.verify",
        summary="test GGUF LoRA loading without and with the patches, or a change, yours or upstream's",
    ),
    "reproduce": Command(
        module="harness.cli.reproduce",
        summary="write one case as files and commands for upstream's own program",
    ),
    "combine": Command(
        module="harness.cli.combine", summary="combine the records of several machines in one report"
    ),
    "bisect": Command(module="harness.cli.bisect", summary="find the revision that broke or fixed a case"),
    "history": Command(
        module="harness.cli.history", summary="run the core cases on every revision in the registry"
    ),
    "repeat": Command(
        module="harness.cli.repeat", summary="run the same cases several times and compare the pictures"
    ),
    "mutants": Command(
        module="harness.cli.mutants", summary="check that the cases catch mistakes in the library"
    ),
    "bench": Command(
        module="harness.cli.bench", summary="measure cases per minute, beside upstream's own program"
    ),
    "build": Command(module="harness.cli.build", summary="compile the library"),
    "bundle": Command(module="harness.cli.bundle", summary="pack a run for another machine into one file"),
    "doctor": Command(
        module="harness.cli.doctor", summary="list what each backend needs and what is missing"
    ),
    "patch": Command(
        module="harness.cli.patch.verbs", summary="show, edit, export and check the patch series"
    ),
    "ci": Command(
        module="harness.cli.ci.verbs", summary="report a run of verify to GitHub Actions and pull requests"
    ),
    "lora": Command(
        module="harness.cli.lora.verbs", summary="convert, inspect, compare and merge LoRA files"
    ),
    "study": Command(
        module="harness.cli.study.verbs",
        summary="measure conversions of LoRA files, and what the cases reach",
    ),
    # The former names of commands.
    "matrix": Command(
        module="harness.cli.verify",
        defaults={"matrices": ("full",), "sides": "pristine", "output": Path("reports/matrix")},
    ),
    "regress": Command(
        module="harness.cli.verify",
        defaults={
            "matrices": ("quick", "full"),
            "side": "both",
            "compact": True,
            "output": Path("reports/regress"),
        },
    ),
    "merge": Command(module="harness.cli.combine"),
    "stability": Command(
        module="harness.cli.repeat", defaults={"side": "patched", "output": Path("reports/stability")}
    ),
}
#: The shells that can complete the commands.
SHELLS = ("bash", "zsh", "tcsh", "fish")
#: What a shell shows for a program that Ctrl-C ended.
INTERRUPTED = 130
_KEPT = "interrupted: what is finished is kept; run the same command again to go on from there"
_NOTHING_LEFT = "interrupted: no incomplete output is left behind"


class _Version(argparse.Action):
    """Print the project's version and its commit, and exit."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        console.out.print(f"sdcpp {project.version()}", markup=False)
        parser.exit()


class _PrintCompletion(argparse.Action):
    """Print the script with which a shell completes the commands, and exit."""

    def __call__(self, parser: argparse.ArgumentParser, _: Any, shell: Any, __: str | None = None) -> None:
        completion = importlib.import_module("harness.cli.completion")  # the other commands do not need it
        console.out.out(completion.script(parser, shell), end="", highlight=False)
        parser.exit()


def parser() -> CommandParser:
    """Return the parser of the whole command line."""
    top = CommandParser(
        prog="sdcpp",
        description="Build stable-diffusion.cpp at any revision and test GGUF LoRA loading in it.",
        epilog="sdcpp COMMAND --help shows the options of a command, with examples.",
    )
    top.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    top.add_argument(
        "--print-completion",
        choices=SHELLS,
        action=_PrintCompletion,
        help="print the script with which a shell completes commands, options and files, and exit",
    )
    add_commands(top, COMMANDS)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status. No exception leaves this function but argparse's SystemExit."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = argparse.Namespace(resumes=False, quiet=False)
    with standard_streams.guarded() as check_results:
        try:
            check_results()
            try:
                parser().parse_args(words, arguments)
                failures.require_folder()
                with console.progress_hidden(when=arguments.quiet):
                    status = int(arguments.main(arguments))
            except SystemExit:
                check_results()
                raise
            check_results()
            return status
        except KeyboardInterrupt:
            console.note(_KEPT if arguments.resumes else _NOTHING_LEFT)
            return INTERRUPTED
        except Exception as problem:
            error = failures.explained(problem, words)
            console.error(error)
            return error.exit_code


def run() -> None:
    """Entry point of the console script."""
    # ``timeout``, CI and the system end a program with it. Temporary files are then removed as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())


if __name__ == "__main__":
    run()
