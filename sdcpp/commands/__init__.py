"""The subcommands: each module has ``register(subparsers)`` and ``main(arguments) -> int``, but for ``options``."""

from sdcpp.commands import (
    bench,
    bisect,
    build,
    bundle,
    doctor,
    history,
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
    history,
    bisect,
    bench,
    build,
    bundle,
    doctor,
    patch,
    lora,
)
