"""The subcommands: each module has ``register(subparsers)`` and ``main(arguments) -> int``."""

from sdcpp.commands import (
    bench,
    build,
    bundle,
    doctor,
    lora,
    matrix,
    merge,
    mutants,
    patch,
    regress,
    reproduce,
    stability,
    verify,
)

COMMANDS = (
    verify,
    matrix,
    reproduce,
    regress,
    merge,
    mutants,
    stability,
    bench,
    build,
    bundle,
    doctor,
    patch,
    lora,
)
