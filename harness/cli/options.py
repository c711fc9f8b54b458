"""The options that several commands have, with the same meaning in each."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from sdcpp.machine import backends
from sdcpp.source import revision
from sdcpp.source.revision import Revision

#: The revisions that are built and tested unless others are named, oldest first.
REVISIONS = ("2025-12", "2026-05", "2026-07")
#: The newest of them that is upstream's own source, for commands that run or name upstream's program.
UPSTREAM = "2026-05"
#: The values of ``--side``, and the sides that each means.
SIDES: Mapping[str, tuple[str, ...]] = {
    "pristine": ("pristine",),
    "patched": ("patched",),
    "both": ("pristine", "patched"),
}
#: The former spellings of ``--side``.
RENAMED_SIDES = {f"--{name}": ("--side", name) for name in SIDES}
#: The number of workers that ``harness.running.pool`` starts by default, in words.
WORKERS = "three per core, if there is enough memory"


def add_revisions(parser: argparse._ActionsContainer) -> None:
    """Add ``--revision``, which may be repeated; ``revisions`` returns what it names."""
    parser.add_argument(
        "--revision",
        action="append",
        metavar="NAME",
        help=f"a revision of revisions.toml; may be repeated (default: {', '.join(REVISIONS)})",
    )


def add_revision(parser: argparse.ArgumentParser) -> None:
    """Add ``--revision`` for a command that takes one; the default is the newest of upstream."""
    parser.add_argument(
        "--revision",
        default=UPSTREAM,
        metavar="NAME",
        help="a revision of revisions.toml (default: %(default)s)",
    )


def add_checkout(parser: argparse._ActionsContainer, more: str = "") -> None:
    """Add ``--checkout``, a working tree that is used in place of a revision; ``more`` is added to the help."""
    parser.add_argument(
        "--checkout",
        type=Path,
        metavar="DIR",
        help=f"your checkout of stable-diffusion.cpp as it is, with uncommitted changes{more}",
    )


def add_patch(parser: argparse._ActionsContainer, what: str) -> None:
    """Add ``--patch``, the patch files of a change; ``what`` begins the help."""
    parser.add_argument(
        "--patch",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help=f"{what} (default revision: the newest)",
    )


def add_upstream(parser: argparse._ActionsContainer) -> None:
    """Add ``--upstream``: a name in upstream's repository, "" for its default branch, or None if it is not given."""
    parser.add_argument(
        "--upstream",
        nargs="?",
        const="",
        metavar="REF",
        help="a branch, tag, commit or pr/NUMBER of upstream's repository (default: its default branch), compared with "
        "the one that was judged before",
    )


def revisions(arguments: argparse.Namespace, default: Sequence[str] = REVISIONS) -> list[Revision]:
    """Return the revisions that ``--revision`` and ``--checkout`` name, each once.

    Raises UnknownRevision, and SourceInvalid for a folder that is no checkout of stable-diffusion.cpp.
    """
    named = [revision.find(name) for name in dict.fromkeys(arguments.revision or default)]
    return [revision.from_folder(arguments.checkout)] if arguments.checkout else named


def add_backend(parser: argparse._ActionsContainer) -> None:
    """Add ``--backend``; the default is the CPU."""
    parser.add_argument("--backend", default="cpu", choices=sorted(backends.BACKENDS), help="default: cpu")


def add_side(parser: argparse._ActionsContainer, default: str | None = "both", more: str = "") -> None:
    """Add ``--side``; ``SIDES`` has what a value means, ``more`` is added to the help."""
    parser.add_argument(
        "--side",
        choices=SIDES,
        default=default,
        help=f"without the patches, with them, or both (default: {default or 'both'}{more})",
    )


def add_case(parser: argparse._ActionsContainer, words: str = "only cases") -> None:
    """Add ``--case``, which may be repeated; ``words`` begin its help."""
    parser.add_argument(
        "--case",
        action="append",
        default=[],
        metavar="PATTERN",
        help=f"{words} whose CASE or CASE@MODE matches this shell wildcard; may be repeated",
    )


def add_cmake_entries(parser: argparse._ActionsContainer, words: str) -> None:
    """Add ``-D``, which may be repeated, as (name, value) in ``options``; ``words`` are its help."""
    parser.add_argument(
        "-D",
        dest="options",
        type=cmake_entry,
        action="append",
        default=[],
        metavar="NAME[:TYPE]=VALUE",
        help=words,
    )


def cmake_entry(text: str) -> tuple[str, str]:
    """Return the name and the value of ``NAME=VALUE`` or ``NAME:TYPE=VALUE``."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a CMake cache entry: write NAME=VALUE or NAME:TYPE=VALUE"
        )
    return name.partition(":")[0], value


def positive(text: str) -> int:
    """Return a number of 1 or more."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return number


def add_workers(parser: argparse.ArgumentParser, default: str = WORKERS) -> None:
    """Add ``--jobs``, the number of processes that call the library; ``default`` says what None means."""
    parser.add_argument("--jobs", type=positive, metavar="N", help=f"worker processes (default: {default})")


def add_repeat(parser: argparse.ArgumentParser, words: str) -> None:
    """Add ``--repeat``, a number of runs; ``words`` are its help."""
    parser.add_argument(
        "--repeat", type=positive, default=3, metavar="N", help=f"{words} (default: %(default)s)"
    )


def add_output(parser: argparse.ArgumentParser, folder: str, more: str = "") -> None:
    """Add ``--output`` with ``folder`` as its default; ``more`` is added to the help."""
    parser.add_argument(
        "--output", type=Path, default=Path(folder), metavar="DIR", help=f"default: {folder}{more}"
    )
