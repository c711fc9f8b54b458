"""The options that several commands have, added to a parser and read with the same words everywhere."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from sdcpp.machine import backends
from sdcpp.source import revision
from sdcpp.source.revision import Revision

#: The revisions that are built and tried when none is named, oldest first.
REVISIONS = ("2025-12", "2026-05")
#: How many workers ``harness.running.pool`` starts unless it is told.
WORKERS = "three a core, if there is memory"


def add_revisions(parser: argparse.ArgumentParser) -> None:
    """Add ``--revision``, which may be repeated; ``revisions`` says which are meant."""
    parser.add_argument(
        "--revision",
        action="append",
        metavar="NAME",
        help=f"a revision of revisions.toml; may be repeated (default: {', '.join(REVISIONS)})",
    )


def add_revision(parser: argparse.ArgumentParser) -> None:
    """Add ``--revision`` for a command that takes one: the newest unless another is named."""
    parser.add_argument("--revision", default=REVISIONS[-1], metavar="NAME", help="default: %(default)s")


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add ``--source``, a checkout that is taken as it is in the place of the named revisions."""
    parser.add_argument(
        "--source", type=Path, metavar="DIR", help="a checkout of your own instead, with its uncommitted work"
    )


def revisions(arguments: argparse.Namespace, default: Sequence[str] = REVISIONS) -> list[Revision]:
    """Return what ``--revision`` and ``--source`` name; raises RevisionUnknown."""
    named = [revision.find(name) for name in arguments.revision or default]
    return [revision.from_folder(arguments.source)] if arguments.source else named


def add_backend(parser: argparse.ArgumentParser) -> None:
    """Add ``--backend``, the CPU unless another is named."""
    parser.add_argument("--backend", default="cpu", choices=sorted(backends.BACKENDS), help="default: cpu")


def add_one_side(parser: argparse.ArgumentParser) -> None:
    """Add ``--pristine`` and ``--patched``, for a command that otherwise does both."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--pristine", action="store_true", help="without the patches only")
    which.add_argument("--patched", action="store_true", help="with the patches only")


def add_cmake_entries(parser: argparse.ArgumentParser, words: str) -> None:
    """Add ``-D``, which may be repeated, as (name, value) in ``options``; ``words`` are its help."""
    parser.add_argument(
        "-D",
        dest="options",
        type=cmake_entry,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=words,
    )


def cmake_entry(text: str) -> tuple[str, str]:
    """Return the name and the value that ``NAME=VALUE`` or ``NAME:TYPE=VALUE`` gives."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not a CMake cache entry: write NAME=VALUE")
    return name.partition(":")[0], value


def add_workers(parser: argparse.ArgumentParser, default: str = WORKERS) -> None:
    """Add ``--jobs``, the number of processes that call the library; ``default`` says what None stands for."""
    parser.add_argument("--jobs", type=int, metavar="N", help=f"worker processes (default: {default})")


def add_output(parser: argparse.ArgumentParser, folder: str, more: str = "") -> None:
    """Add ``--output``, a folder that is ``folder`` unless another is named; ``more`` is said after that."""
    parser.add_argument(
        "--output", type=Path, default=Path(folder), metavar="DIR", help=f"default: {folder}{more}"
    )
