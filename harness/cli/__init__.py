"""The subcommands: each module has ``register(subparsers)`` and ``main(arguments) -> int``, but for ``options``."""

from harness.cli import (
    bench,
    bisect,
    build,
    bundle,
    combine,
    doctor,
    history,
    lora,
    matrix,
    mutants,
    patch,
    regress,
    repeat,
    reproduce,
    verify,
)

COMMANDS = (
    verify,
    matrix,
    reproduce,
    regress,
    combine,
    mutants,
    repeat,
    history,
    bisect,
    bench,
    build,
    bundle,
    doctor,
    patch,
    lora,
)
