"""The subcommands: each module has ``register(subparsers)`` and ``main(arguments) -> int``."""

from sdcpp.commands import bisect, build, history, lora, matrix, mutants, patch, stability, verify

COMMANDS = (verify, matrix, mutants, stability, history, bisect, build, patch, lora)
