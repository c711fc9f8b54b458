"""Parsers of commands that import the module of a command only when that command is chosen."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Command:
    """A command: the module that runs it, and its line in the list of commands; without a line it is not listed.

    The module has ``add_arguments(parser)``, which adds its options or its own subcommands, ``EPILOG``, and, without
    subcommands, ``main(arguments) -> int``, which runs it and returns the exit status.
    """

    module: str
    summary: str = ""


class CommandParser(argparse.ArgumentParser):
    """A parser that gets its description and its options from a module once it has arguments to read."""

    def __init__(self, *, module: str = "", **keywords: Any) -> None:
        super().__init__(**keywords, formatter_class=argparse.RawDescriptionHelpFormatter)
        self._module = module

    def parse_known_args(  # type: ignore[override] # typeshed has several overloads of it
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Import the module, if there is one, then parse as usual."""
        if self._module:
            module, self._module = importlib.import_module(self._module), ""
            self.description, self.epilog = module.__doc__, module.EPILOG
            module.add_arguments(self)
            self.set_defaults(main=getattr(module, "main", None), complain=self.error)
        return super().parse_known_args(args, namespace)


def add_commands(parser: argparse.ArgumentParser, commands: Mapping[str, Command]) -> None:
    """Add commands as subcommands of a parser; none of their modules is imported."""
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=CommandParser)
    for name, command in commands.items():
        if command.summary:
            subparsers.add_parser(name, module=command.module, help=command.summary)
        else:
            subparsers.add_parser(name, module=command.module)
