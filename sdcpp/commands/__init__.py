"""The subcommands: each module has ``register(subparsers)`` and ``main(arguments) -> int``."""

from sdcpp.commands import build, matrix, mutants, patch, stability, verify

COMMANDS = (verify, matrix, mutants, stability, build, patch)
