"""The script with which a shell completes the commands, options and files of ``sdcpp``, made by shtab."""

from __future__ import annotations

import argparse
from pathlib import Path

import shtab

from harness.cli.commands import CommandParser
from sdcpp.source import revision

#: The metavars of folders, and of files that are not of type Path because a number or a name may be given, too.
_FOLDERS = frozenset({"DIR", "CHECKOUT"})
_FILES = frozenset({"FILE[@MULTIPLIER]", "ADAPTER[@MULTIPLIER]", "LORA[@NUMBER]", "MODEL"})


def script(parser: CommandParser, shell: str) -> str:
    """Return the script of a parser and all of its commands, whose modules are imported, for one of shtab's shells."""
    revisions = list(revision.load())
    for each in parser.loaded():
        for action in each.arguments:
            _complete(action, revisions)
    completed: str = shtab.complete(parser, shell)
    return completed.rstrip("\n") + "\n"


def _complete(action: argparse.Action, revisions: list[str]) -> None:
    """Say what completes the values of an option or argument. The parser only prints its script after this."""
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    if "--revision" in action.option_strings:
        action.choices = revisions
    elif metavar in _FOLDERS:
        action.complete = shtab.DIRECTORY  # type: ignore[attr-defined] # shtab reads it
    elif action.type is Path or metavar in _FILES:
        action.complete = shtab.FILE  # type: ignore[attr-defined]
