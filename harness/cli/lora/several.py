"""Run a command of ``sdcpp lora`` for each of several inputs, and say which file is written for each.

An input that cannot be used does not keep the others from being worked on: its error is shown where its result would
be, and the exit status is not 0.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeVar

from harness.cli import failures
from harness.cli.commands import CommandParser
from harness.formats.write import SUFFIXES
from harness.text import json_text
from sdcpp import atomic_write, console

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result for an input: its values for JSON, its text, and the exit status. Only the chosen form is made.

    An iterator is a text in parts, each of which is printed as soon as it is known.
    """

    data: Callable[[], object]
    text: Callable[[], str | Iterator[str]]
    status: int = 0


def run_each(
    items: Sequence[Item],
    path_of: Callable[[Item], Path],
    work: Callable[[Item], Result],
    arguments: argparse.Namespace,
    *,
    listed: bool = False,
) -> int:
    """Call ``work`` for each input, print what it returns or its error, and return the largest exit status.

    A text is printed as soon as it is known. JSON is printed at the end, also after an interruption: the values of one
    input, or the list of those of several; with ``listed`` it is always a list. In place of the values of an input that
    failed it has an object with ``path``, ``error`` and ``status``.
    """
    found: list[object] = []
    statuses = [0]
    try:
        for item in items:
            try:
                result = work(item)
                if arguments.json:
                    found.append(result.data())
                else:
                    _show(result.text())
            except Exception as problem:
                # A bug that one file shows must not keep the others from being worked on.
                error = failures.explained(problem, sys.argv[1:])
                console.error(error)
                shown = {"path": path_of(item).name, "error": str(error), "status": error.exit_code}
                found.append(shown)
                statuses.append(error.exit_code)
                continue
            statuses.append(result.status)
    finally:
        if arguments.json and found:
            one = len(items) == 1 and not listed
            console.out.out(json_text(found[0] if one else found), highlight=False)
    return max(statuses)


def _show(text: str | Iterator[str]) -> None:
    for part in [text] if isinstance(text, str) else text:
        console.out.print(part, markup=False)


def add_files(
    parser: CommandParser,
    words: str,
    dest: str = "files",
    metavar: str = "FILE",
    kind: Callable[[str], object] = Path,
) -> None:
    """Add one or more files to read as ``arguments.DEST``, also with options between them; ``words`` are the help."""
    parser.gathered = parser.add_argument(dest, nargs="+", type=kind, metavar=metavar, help=words)


def add_outputs(parser: CommandParser, words: str, metavar: str = "IN") -> None:
    """Add files to read, whose help is ``words``, and where the results are written; ``pairs`` returns both."""
    add_files(parser, words, "inputs", metavar)
    # It is here for --help: the words of both are in ``inputs``, because options may stand between them.
    parser.add_argument("output", nargs="?", type=Path, metavar="OUT", help="the file to write")
    add_output_dir(parser, "OUT")
    add_container(parser)


def add_output_dir(parser: argparse.ArgumentParser, other: str) -> None:
    """Add ``--output-dir``; ``other`` is what it replaces."""
    parser.add_argument(
        "--output-dir",
        type=Path,
        metavar="DIR",
        help=f"write a file of the same name into this folder for each input, in place of {other}",
    )


def add_container(parser: argparse.ArgumentParser) -> None:
    """Add ``--container``, which belongs to ``--output-dir``."""
    parser.add_argument(
        "--container",
        choices=SUFFIXES,
        help="with --output-dir: the container of the new files (default: that of each input)",
    )


def pairs(arguments: argparse.Namespace) -> list[tuple[Path, Path]]:
    """Return each input with the file to write for it. Exits if the command line does not say which that is."""
    inputs: list[Path] = arguments.inputs
    if arguments.output_dir is not None:
        return in_folder(inputs, arguments)
    if arguments.container:
        arguments.complain("--container is for --output-dir; the suffix of OUT decides the container")
    if len(inputs) != 2:
        arguments.complain(
            "the file to write is missing: name OUT, or --output-dir DIR"
            if len(inputs) == 1
            else "several files need --output-dir DIR in place of OUT"
        )
    return [(inputs[0], inputs[1])]


def in_folder(inputs: Iterable[Path], arguments: argparse.Namespace) -> list[tuple[Path, Path]]:
    """Return each input with its file in the folder of ``--output-dir``, which is made.

    Exits before anything is written if two inputs would be written to one file. Raises OutputRefused.
    """
    found = [
        (path, arguments.output_dir / _name(path, getattr(arguments, "container", None))) for path in inputs
    ]
    first: dict[Path, Path] = {}
    for path, target in found:
        if target in first:
            arguments.complain(f"{first[target]} and {path} would both be written to {target}")
        first[target] = path
    atomic_write.ensure_folder(arguments.output_dir)
    return found


def _name(path: Path, container: str | None) -> str:
    """Return the name of the new file for an input, which may be a folder of diffusers."""
    known = path.suffix.lower() in chain(*SUFFIXES.values())
    if known and container is None:
        return path.name
    stem = path.stem if known else path.resolve().name
    return f"{stem}.{container or 'safetensors'}"
