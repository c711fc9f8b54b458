"""Show whether each patch applies to a revision, is already upstream, is not needed, or conflicts."""

from __future__ import annotations

import argparse

from harness.cli import options
from sdcpp import console
from sdcpp.errors import PatchConflict
from sdcpp.patching import series
from sdcpp.patching.series import State
from sdcpp.source import revision
from sdcpp.source.revision import Revision
from sdcpp.source.workspace import workspace

EPILOG = """\
output
  The command prints one line for each patch and revision. After a conflict it prints the hunk
  that does not apply.
  Exit status 0: no conflict. 20: a patch conflicts.

examples
  sdcpp patch state                           the revisions that verify runs on
  sdcpp patch state --revision 2025-12        one revision
  sdcpp patch state --checkout ~/stable-diffusion.cpp
  sdcpp patch state --all                     every revision of the registry
"""
RENAMED = {"--source": ("--checkout",)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    which = parser.add_mutually_exclusive_group()
    options.add_revisions(which)
    which.add_argument("--all", action="store_true", help="all of revisions.toml (2 GB to download)")
    options.add_checkout(which, ", in place of a revision")


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    named = list(revision.load()) if arguments.all else options.REVISIONS
    return show(options.revisions(arguments, default=named))


def show(revisions: list[Revision]) -> int:
    """Print the state of each patch on each revision; return 0, or the exit status of a conflict."""
    patches, status = series.load(), 0
    for wanted in revisions:
        for state in series.states(workspace(wanted), patches):
            console.out.print(f"{wanted.name:12} {state.patch.name:32} {state.state.value}", markup=False)
            if state.state is State.CONFLICTS:
                console.out.print(state.detail, markup=False)
                status = PatchConflict.exit_code
    return status
