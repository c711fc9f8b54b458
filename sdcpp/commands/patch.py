"""``sdcpp patch``: what the patch series is, and what becomes of it on each revision."""

from __future__ import annotations

import argparse
from pathlib import Path

from sdcpp import console, project, revision, series
from sdcpp.errors import PatchConflict, SeriesInvalid
from sdcpp.series import State
from sdcpp.source import workspace

EPILOG = """\
examples
  sdcpp patch state                          every patch on every named revision
  sdcpp patch state --revision 2025-12       on one; a conflict is shown with its hunk
  sdcpp patch lint                           headers, order, orphans
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "patch",
        help="state and rules of the patch series",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    state = actions.add_parser("state", help="applies, already upstream, not needed or conflicts")
    state.add_argument("--revision", action="append", metavar="NAME", help="default: all of revisions.toml")
    state.add_argument("--source", type=Path, metavar="DIR", help="a checkout of your own instead")
    state.set_defaults(main=show_states)
    check = actions.add_parser("lint", help="check the rules that CONTRIBUTING.md gives")
    check.set_defaults(main=check_rules)


def show_states(arguments: argparse.Namespace) -> int:
    """Print the state of each patch; exit with PatchConflict's status if one conflicts."""
    revisions = [revision.find(name) for name in arguments.revision or revision.load()]
    if arguments.source:
        revisions = [revision.from_folder(arguments.source)]
    patches, conflicts = series.load(), []
    for wanted in revisions:
        tree = workspace(wanted)
        for state in series.states(tree, patches):
            console.out.print(f"{wanted.name:12} {state.patch.name:32} {state.state.value}", markup=False)
            if state.state is State.CONFLICTS:
                conflicts.append(state)
                console.out.print(state.detail, markup=False)
    return PatchConflict.exit_code if conflicts else 0


def check_rules(arguments: argparse.Namespace) -> int:  # noqa: ARG001 - every command is called with them
    """Raise SeriesInvalid with every complaint about patches/."""
    complaints = series.lint()
    if complaints:
        raise SeriesInvalid("\n".join(complaints), project.PATCHES, "CONTRIBUTING.md has the rules")
    console.out.print(f"{len(series.entries())} patches, nothing to complain about")
    return 0
