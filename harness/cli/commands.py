"""Parsers of commands that import the module of a command only when that command is chosen."""

from __future__ import annotations

import argparse
import difflib
import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.text import did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command: the module that runs it, and its line in the list of commands; without a line it is not listed.

    The module has

    - a docstring and ``EPILOG``: the description and the end of ``--help``;
    - ``add_arguments(parser)``, which adds its options, or its subcommands with ``add_commands``;
    - without subcommands, ``main(arguments) -> int``, which runs it and returns the exit status;
    - optionally ``RESUMES = True``, if an interrupted run goes on where it ended;
    - optionally ``RENAMED``: former spellings of options and the words that replace them. They are not in ``--help``.

    ``defaults`` replace those of the options. A former name of a command is an entry without a line, with its defaults.
    """

    module: str
    summary: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)


class CommandParser(argparse.ArgumentParser):
    """A parser that gets its description and its options from the module of a command when it has to parse."""

    def __init__(self, *, command: Command | None = None, **keywords: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **keywords)
        self.commands: Mapping[str, Command] = {}
        #: The last argument that takes several words, which may also stand after options.
        self.gathered: argparse.Action | None = None
        self._command = command
        self._renamed: Mapping[str, Sequence[str]] = {}

    def parse_known_args(  # type: ignore[override] # typeshed has several overloads of it
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Load the command, replace former spellings, then parse as usual.

        Exit with the nearest option if an option is unknown. argparse would leave that to the parser of ``sdcpp``,
        which does not know the options of a command.
        """
        words = list(sys.argv[1:] if args is None else args)
        self._load()
        self._require_command(words)
        found, unknown = super().parse_known_args(list(_current(words, self._renamed)), namespace)
        if unknown and self.gathered is not None and not any(word.startswith("-") for word in unknown):
            # argparse gives such an argument only the words before the first option that is between them.
            getattr(found, self.gathered.dest).extend(self._get_values(self.gathered, unknown))
            unknown = []
        if unknown and not self.commands:
            hint = did_you_mean(unknown[0].partition("=")[0], self._option_string_actions)
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return found, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Raise ArgumentError with the nearest of the values that an argument may have."""
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            near = did_you_mean(str(value), map(str, action.choices or ()))
            raise argparse.ArgumentError(action, f"{error.message}{near}") from None

    @property
    def arguments(self) -> list[argparse.Action]:
        """The options and arguments, those of ``--help`` included."""
        return list(self._actions)

    def loaded(self) -> Iterator[CommandParser]:
        """Yield this parser and those of the commands that are listed, after they got their options."""
        self._load()
        yield self
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for name, command in self.commands.items():
                    if command.summary:
                        yield from action.choices[name].loaded()

    def _load(self) -> None:
        command, self._command = self._command, None
        if command:
            module = importlib.import_module(command.module)
            self.description, self.epilog = module.__doc__, module.EPILOG
            self._renamed = getattr(module, "RENAMED", {})
            module.add_arguments(self)
            self.set_defaults(
                main=getattr(module, "main", None),
                complain=self.error,
                resumes=getattr(module, "RESUMES", False),
                **command.defaults,
            )

    def _require_command(self, words: Sequence[str]) -> None:
        """Exit with the nearest command, or with all, if the first word is not the name of one."""
        before = (None, *map(self._option_string_actions.get, words))
        values = [option is not None and option.nargs != 0 for option in before]
        named = (
            word for word, value in zip(words, values, strict=False) if not (value or word.startswith("-"))
        )
        word = next(named, None)
        if self.commands and word is not None and word not in self.commands:
            listed = [name for name, command in self.commands.items() if command.summary]
            near = difflib.get_close_matches(word, listed, 1)
            hint = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(listed)}"
            self.error(f"there is no command {word!r}; {hint}")


def add_commands(parser: CommandParser, commands: Mapping[str, Command]) -> None:
    """Add commands as subcommands of a parser; none of their modules is imported."""
    parser.commands = commands
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=CommandParser)
    for name, command in commands.items():
        if command.summary:
            subparsers.add_parser(name, command=command, help=command.summary)
        else:
            subparsers.add_parser(name, command=command)


def _current(words: Sequence[str], renamed: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield the words of a command line with former spellings replaced, up to a "--"."""
    end = words.index("--") if "--" in words else len(words)
    for word in words[:end]:
        name, equals, value = word.partition("=")
        *before, last = renamed.get(name, (name,))
        yield from (*before, f"{last}{equals}{value}")
    yield from words[end:]
