"""Show whether each patch applies to a source, is already upstream, is no longer needed, or conflicts."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from harness.cli import options
from harness.verification import own_cases
from sdcpp import console
from sdcpp.errors import Error, PatchConflict
from sdcpp.patching import series
from sdcpp.patching.state import PatchState, State, find_states, is_written_for
from sdcpp.source import revision
from sdcpp.source.revision import Folder, Revision
from sdcpp.source.workspace import workspace

EPILOG = """\
output
  The command prints one line for each patch and source: what git says of the form of the patch for
  this revision. The series is written for the revisions that its files name. On any other source
  each form is tried, and the source is built without patches and runs the cases that the patches
  fix:
    applies              git am accepts it
    already upstream     the source has its change
    no longer needed     the cases that it fixes pass without it
    conflicts            the hunks that do not apply follow; sdcpp patch port may carry them over
    code is gone         the source has none of the lines that it changes
    for other revisions  the series has no form of it for this revision
  Exit status 0: no conflict. 20: a patch conflicts.

examples
  sdcpp patch state                           the named revisions
  sdcpp patch state --revision 2025-12        one revision
  sdcpp patch state --checkout ~/stable-diffusion.cpp
  sdcpp patch state --checkout ~/stable-diffusion.cpp --no-cases    only what git says
  sdcpp patch state --all                     every revision of the registry, only what git says
"""
RENAMED = {"--source": ("--checkout",)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    which = parser.add_mutually_exclusive_group()
    options.add_revisions(which)
    which.add_argument("--all", action="store_true", help="all of revisions.toml (2 GB to download)")
    options.add_checkout(which, ", in place of a revision")
    parser.add_argument(
        "--no-cases", action="store_true", help="build nothing; no patch is then called no longer needed"
    )
    options.add_output(parser, "reports/patch-state", " (the records of the cases)")


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    named = list(revision.load()) if arguments.all else options.REVISIONS
    folder = None if arguments.all or arguments.no_cases else arguments.output
    return show(options.revisions(arguments, default=named), folder)


def show(revisions: Sequence[Revision], folder: Path | None) -> int:
    """Print the state of each patch on each revision; return 0, or the exit status of a conflict.

    ``folder`` keeps the records of the cases; if it is None, no case runs. Raises what building and running raise,
    after the states that git says.
    """
    patches, status = series.load(), 0
    for wanted in revisions:
        states = find_states(workspace(wanted), patches)
        foreign = not is_written_for(patches, wanted)
        failure: Error | None = None
        if foreign and folder:
            try:
                states = own_cases.needs(wanted, patches, states, folder / wanted.name)
            except Error as error:  # what git says is shown nevertheless
                failure = error
        for state in states:
            _print(wanted, state)
        if foreign:
            _print_counts(wanted, states)
        if any(state.state is State.CONFLICTS for state in states):
            status = PatchConflict.exit_code
        if failure:
            raise failure
    return status


def _print(wanted: Revision, state: PatchState) -> None:
    first, _, rest = state.detail.partition("\n")
    shown = "" if state.required and state.state is State.APPLIES else f"  {first}"
    line = f"{wanted.name:12} {state.patch.name:32} {state.state.value}{shown}".rstrip()
    console.out.print(line, markup=False, soft_wrap=True)
    if rest:
        console.out.print(rest, markup=False, soft_wrap=True)


def _print_counts(wanted: Revision, states: Sequence[PatchState]) -> None:
    counts = Counter(state.state for state in states)
    said = ", ".join(f"{counts[state]} {state.value}" for state in State if counts[state])
    console.out.print(f"{wanted.name}: of {len(states)} patches, {said}", markup=False)
    if counts[State.CONFLICTS] and isinstance(wanted.origin, Folder):
        console.out.print(
            f"`sdcpp patch port {wanted.origin.path}` carries patches over by git's three-way merge",
            markup=False,
        )
