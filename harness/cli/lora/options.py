"""The options that several subcommands of ``sdcpp lora`` have, and how their results are shown."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from harness.text import json_text
from sdcpp import console
from sdcpp.errors import OutputRefused

#: Former spellings of options.
RENAMED = {"--base": ("--base-model",), "--library": ("--build",)}


def add_types(parser: argparse.ArgumentParser) -> None:
    """Add ``--type``, a list of names, and ``--build``, the build that can make them."""
    parser.add_argument(
        "--type",
        default=[],
        type=type_names,
        metavar="TYPE[,TYPE]",
        help="F32, F16, BF16 or a quantised type; more types are for rows that are no whole blocks of the first",
    )
    add_build(parser)


def add_build(parser: argparse.ArgumentParser, default: str = "the newest") -> None:
    """Add ``--build``, the folder of a build; ``default`` says what None means."""
    parser.add_argument(
        "--build", type=Path, metavar="DIR", help=f"a folder that sdcpp build printed (default: {default})"
    )


def add_base_model(parser: argparse.ArgumentParser, words: str) -> None:
    """Add ``--base-model``; ``words`` are its help."""
    parser.add_argument("--base-model", metavar="MODEL", help=words)


def add_no_clobber(parser: argparse.ArgumentParser) -> None:
    """Add ``--no-clobber``; ``require_free`` does what it says."""
    parser.add_argument("--no-clobber", action="store_true", help="do not replace a file that exists already")


def add_amount(parser: argparse.ArgumentParser, verbose: str, quiet: str) -> None:
    """Add ``--json``, ``--verbose`` and ``--quiet``; ``verbose`` and ``quiet`` are the help of the latter two."""
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("-v", "--verbose", action="store_true", help=verbose)
    amount.add_argument("-q", "--quiet", action="store_true", help=quiet)
    parser.add_argument("--json", action="store_true", help="print JSON")


def require_free(path: Path, arguments: argparse.Namespace) -> None:
    """Raise OutputRefused if an output file exists already and ``--no-clobber`` was given."""
    if arguments.no_clobber and path.exists():
        raise OutputRefused("the file exists already", path, "choose another name, or leave out --no-clobber")


def share(text: str) -> float:
    """Return "2%" or "0.02" as 0.02."""
    found = re.fullmatch(r"([0-9.]+)\s*(%?)", text)
    try:
        value = float(found.group(1)) / (100 if found.group(2) else 1) if found else 0.0
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share between 0 and 1: write 2% or 0.02")
    return value


def type_names(text: str) -> list[str]:
    """Return the types of a comma-separated list, in capitals."""
    return [name.strip().upper() for name in text.split(",") if name.strip()]


def show(data: Callable[[], object], text: Callable[[], str], *, as_json: bool) -> None:
    """Print a result as JSON or as text; only the chosen one is made."""
    if as_json:
        console.out.out(json_text(data()), highlight=False)
    else:
        console.out.print(text(), markup=False)
