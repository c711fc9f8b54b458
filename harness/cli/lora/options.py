"""The options that several subcommands of ``sdcpp lora`` have, and how their results are shown."""

from __future__ import annotations

import argparse
import math
import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from harness.cli import options as run_options
from harness.cli.lora.several import Result
from harness.converter import naming, requirements
from harness.converter.low_rank import RankChoice
from harness.converter.model_files import model_tensors
from harness.converter.ranks import Ranks
from harness.formats.read import read_tensors
from harness.formats.tensor import Tensor
from harness.models import tiny_models
from harness.text import did_you_mean
from sdcpp.errors import OutputRefused

#: Former spellings of options.
RENAMED = {"--base": ("--base-model",), "--library": ("--build",)}


def add_types(parser: argparse.ArgumentParser, default: str = "") -> None:
    """Add ``--type``, a list of names, and ``--build``, the build that can make them.

    ``default`` are the types without it, if not those of the file.
    """
    parser.add_argument(
        "--type",
        default=[],
        type=type_names,
        metavar="TYPE[,TYPE]",
        help="F32, F16, BF16 or a quantised type; more types are for rows that are no whole blocks of the first"
        + (f" (default: {default})" if default else ""),
    )
    add_build(parser)


def add_build(parser: argparse.ArgumentParser, default: str = "the newest") -> None:
    """Add ``--build``, the folder of a build; ``default`` says what None means."""
    parser.add_argument(
        "--build", type=Path, metavar="DIR", help=f"a folder that sdcpp build printed (default: {default})"
    )


def add_base_model(parser: argparse.ArgumentParser, words: str) -> None:
    """Add ``--base-model``; ``words`` are its help."""
    parser.add_argument("--base-model", metavar="MODEL", help=words)


def add_rank_choice(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add ``--rank``, ``--loss`` and ``--keep``; ``rank_choice`` reads them."""
    chosen = parser.add_mutually_exclusive_group(required=required)
    chosen.add_argument("--rank", type=run_options.positive, metavar="N", help="the rank of all modules")
    chosen.add_argument("--loss", type=share, metavar="SHARE", help="the largest relative error: 5%% or 0.05")
    chosen.add_argument(
        "--keep", type=share, metavar="SHARE", help="the smallest share of the energy: 99%% or 0.99"
    )


def rank_choice(arguments: argparse.Namespace) -> RankChoice | None:
    """Return how the ranks are chosen, or None if none of the options was given."""
    error = math.sqrt(1 - arguments.keep) if arguments.keep else arguments.loss
    return RankChoice(rank=arguments.rank, error=error) if arguments.rank or error else None


def add_names(parser: argparse._ActionsContainer, default: str = "") -> None:
    """Add ``--names``, a scheme; ``default`` are the names without it, if not those of the file."""
    known = ", ".join((*naming.SCHEMES, *naming.ALIASES))
    parser.add_argument(
        "--names",
        type=scheme,
        metavar="SCHEME",
        help=f"write the names of another program: {known}" + (f" (default: {default})" if default else ""),
    )


def scheme(text: str) -> str:
    """Return the name of a scheme in ``naming.SCHEMES``."""
    found = naming.ALIASES.get(text.lower(), text.lower())
    if found not in naming.SCHEMES:
        known = ", ".join((*naming.SCHEMES, *naming.ALIASES))
        near = did_you_mean(text, (*naming.SCHEMES, *naming.ALIASES))
        raise argparse.ArgumentTypeError(f"{text!r} is none of {known}{near}")
    return found


def base_tensors(name: str) -> dict[str, Tensor]:
    """Return the tensors of a base model by name.

    ``name`` is that of a file, one of several files, a folder of diffusers, or a generated base model.
    """
    if name not in tiny_models.BASES:
        return model_tensors(Path(name))
    paths = tiny_models.BASES[name].make().values()
    return {key: tensor for path in paths for key, tensor in read_tensors(path).tensors.items()}


def add_no_clobber(parser: argparse.ArgumentParser) -> None:
    """Add ``--no-clobber``; ``require_free`` does what it says."""
    parser.add_argument("--no-clobber", action="store_true", help="do not replace a file that exists already")


def add_amount(parser: argparse.ArgumentParser, verbose: str, quiet: str) -> None:
    """Add ``--json``, ``--verbose`` and ``--quiet``; ``verbose`` and ``quiet`` are the help of the latter two.

    ``sdcpp`` itself shows no progress with ``--quiet``.
    """
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("-v", "--verbose", action="store_true", help=verbose)
    amount.add_argument("-q", "--quiet", action="store_true", help=f"{quiet}, and no progress")
    parser.add_argument("--json", action="store_true", help="print JSON")


def require_free(path: Path, arguments: argparse.Namespace) -> None:
    """Raise OutputRefused if an output file exists already and ``--no-clobber`` was given."""
    if arguments.no_clobber and os.path.lexists(path):
        raise OutputRefused("the file exists already", path, "choose another name, or leave out --no-clobber")


def share(text: str) -> float:
    """Return "2%" or "0.02" as 0.02."""
    found = re.fullmatch(r"([0-9.]+)\s*(%?)", text)
    try:
        value = float(found.group(1)) / (100 if found.group(2) else 1) if found else 0.0
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share between 0 and 1: write 2% or 0.02")
    return value


def type_names(text: str) -> list[str]:
    """Return the types of a comma-separated list, in capitals."""
    return [name.strip().upper() for name in text.split(",") if name.strip()]


def ranks_result(found: Ranks, arguments: argparse.Namespace, more: Mapping[str, object]) -> Result:
    """Return the ranks of a new adapter, and what it needs; ``more`` is added to the JSON."""
    if arguments.type:
        found.notes.append(f"the error is that before rounding to {', '.join(arguments.type)}")
    needs = requirements.shortcomings(read_tensors(found.target))
    said = [] if arguments.quiet else requirements.described(needs, verbose=arguments.verbose)
    return Result(
        data=lambda: {**found.as_json(), **more, "needs": [asdict(each) for each in needs]},
        text=lambda: "\n".join([found.text(verbose=arguments.verbose, quiet=arguments.quiet), *said]),
    )
