"""The subcommands: each module has ``register(subparsers)`` and ``main(arguments) -> int``."""

from sdcpp.commands import bench, build, lora, matrix, mutants, patch, stability, verify

COMMANDS = (verify, matrix, mutants, stability, bench, build, patch, lora)
