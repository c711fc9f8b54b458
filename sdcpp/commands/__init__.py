"""The subcommands: each module has ``register(subparsers)`` and ``main(arguments) -> int``."""

from sdcpp.commands import build, lora, matrix, mutants, patch, stability, verify

COMMANDS = (verify, matrix, mutants, stability, build, patch, lora)
