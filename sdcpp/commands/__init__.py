"""The subcommands: each module has ``register(subparsers)`` and ``main(arguments) -> int``."""

from sdcpp.commands import build, lora, matrix, patch, verify

COMMANDS = (verify, matrix, build, patch, lora)
