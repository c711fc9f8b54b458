"""The options that several subcommands of ``sdcpp lora`` have, and how their results are shown."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from sdcpp import console


def add_types(parser: argparse.ArgumentParser) -> None:
    """Add ``--type``, a list of names, and ``--library``, the build that can make them."""
    parser.add_argument(
        "--type",
        default=[],
        type=type_names,
        metavar="TYPE[,TYPE]",
        help="F32, F16, BF16 or a quantised type; further ones for rows that are no whole blocks of the first",
    )
    add_library(parser)


def add_library(parser: argparse.ArgumentParser) -> None:
    """Add ``--library``, the folder of a build."""
    parser.add_argument("--library", type=Path, metavar="DIR", help="a build's folder (default: the newest)")


def type_names(text: str) -> list[str]:
    """Return the types of a comma-separated list, in capitals."""
    return [name.strip().upper() for name in text.split(",") if name.strip()]


def show(data: Callable[[], object], text: Callable[[], str], *, as_json: bool) -> None:
    """Print a result as JSON or as text; only the chosen one is made."""
    if as_json:
        console.out.out(json.dumps(data(), indent=1, ensure_ascii=False), highlight=False)
    else:
        console.out.print(text(), markup=False)
