"""The subcommands: each module has ``register(subparsers)`` and ``main(arguments) -> int``."""

from sdcpp.commands import build, history, lora, matrix, mutants, patch, stability, verify

COMMANDS = (verify, matrix, mutants, stability, history, build, patch, lora)
