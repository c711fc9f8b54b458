"""The option ``--corpus`` of ``sdcpp verify``: the cases of a list of one's own in place of a matrix."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from harness.cases import selection
from harness.cases.case import MODES, Case, select
from harness.cases.fixture import NO_BLOCKS
from harness.judging.expectation import Expectation
from harness.own_model import corpus
from harness.own_model.corpus import Corpus
from harness.text import listed, plural
from sdcpp import console

#: What takes the place of the name of a matrix.
NAME = "corpus"
#: The number of cases that a note about a missing file names.
SHOWN = 3


def add_option(parser: argparse._ActionsContainer) -> None:
    """Add ``--corpus``."""
    parser.add_argument(
        "--corpus",
        type=Path,
        metavar="FILE",
        help="run the cases of a list of your own models and LoRAs, in place of a matrix (docs/corpus.md)",
    )


def load(arguments: argparse.Namespace) -> None:
    """Read the corpus of the command line; the functions below return what is in it. Raises FileInvalid."""
    arguments.corpus_cases = corpus.load(arguments.corpus)


def cases(arguments: argparse.Namespace) -> Corpus | None:
    """Return the corpus of the command line, or None."""
    found: Corpus | None = getattr(arguments, "corpus_cases", None)
    return found


def expected(arguments: argparse.Namespace) -> Sequence[Expectation] | None:
    """Return the expected verdicts of the corpus, or None for those of expectations.toml."""
    found = cases(arguments)
    return None if found is None else found.expected


def require_cases(arguments: argparse.Namespace) -> None:
    """Print what is missing of the selected cases.

    Raises NothingTried, before anything is built, if no case is selected or if all of them miss a file.
    """
    for reason, names in arguments.corpus_cases.require_files(_selected(arguments)).items():
        console.note(f"! {plural(len(names), 'case')} cannot be judged ({listed(names, SHOWN)}): {reason}")


def show(arguments: argparse.Namespace) -> int:
    """Print the selected cases, with what is missing."""
    found = _selected(arguments)
    for case in found:
        dimensions = "  ".join(f"{key}={value}" for key, value in case.dimensions.items())
        console.out.print(f"{case.name}@{case.dimensions['mode']:14}  {dimensions}", markup=False)
        if case.missing:
            console.out.print(f"  ! {case.missing}", markup=False)
    missing = sum(bool(case.missing) for case in found)
    console.out.print(
        f"{plural(len(found), 'case')}{f', {missing} of them without their files' if missing else ''}",
        markup=False,
    )
    return 0


def _selected(arguments: argparse.Namespace) -> list[Case]:
    patterns, where = arguments.case, arguments.where
    every = arguments.corpus_cases.cases(None, MODES, NO_BLOCKS)
    if patterns or where:
        selection.require(every, patterns, where)
    return select(every, patterns, where)
