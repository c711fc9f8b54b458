"""The subcommands: each module has ``register(subparsers)`` and ``main(arguments) -> int``."""

from sdcpp.commands import build, lora, patch, verify

COMMANDS = (verify, build, patch, lora)
