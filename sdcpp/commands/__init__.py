"""The subcommands: each module has ``register(subparsers)`` and ``main(arguments) -> int``."""

from sdcpp.commands import build, matrix, patch, verify

COMMANDS = (verify, matrix, build, patch)
