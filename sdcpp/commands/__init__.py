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
    stability,
    verify,
)

COMMANDS = (verify, matrix, regress, merge, mutants, stability, bench, build, bundle, doctor, patch, lora)
