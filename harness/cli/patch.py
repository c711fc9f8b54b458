"""``sdcpp patch``: what becomes of the patches on each revision, and how to work on them as commits."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli import options
from sdcpp import console, project
from sdcpp.errors import PatchConflict, SeriesInvalid
from sdcpp.patching import series, worktree
from sdcpp.patching.series import State
from sdcpp.source import revision
from sdcpp.source.workspace import BASE, workspace

EPILOG = """\
examples
  sdcpp patch state                          every patch on the two revisions that verify runs on
  sdcpp patch state --all                    on every revision of the registry
  sdcpp patch state --revision 2025-12       on one; a conflict is shown with its hunk
  sdcpp patch start 2026-05 ~/series         the revision with its patches, one commit each, to work on
  sdcpp patch export ~/series                back into patches/; done twice, it changes nothing
  sdcpp patch check                          rules, and whether every patch still applies
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    state = actions.add_parser("state", help="applies, already upstream, not needed or conflicts")
    which = state.add_mutually_exclusive_group()
    which.add_argument(
        "--revision", action="append", metavar="NAME", help=f"default: {', '.join(options.REVISIONS)}"
    )
    which.add_argument("--all", action="store_true", help="all of revisions.toml (2 GB to download)")
    state.add_argument("--source", type=Path, metavar="DIR", help="a checkout of your own instead")
    state.set_defaults(main=show_states)
    start = actions.add_parser("start", help="make a working tree with the patches as commits")
    start.add_argument("name", metavar="REVISION", help="a revision of revisions.toml")
    start.add_argument("folder", type=Path, metavar="DIR", help="a folder that is new or empty")
    start.set_defaults(main=start_tree)
    export = actions.add_parser("export", help="write a working tree's commits back into patches/")
    export.add_argument("folder", type=Path, metavar="DIR", help="what start made")
    export.set_defaults(main=export_tree)
    lint = actions.add_parser("lint", help="check the rules that CONTRIBUTING.md gives; needs no source")
    lint.set_defaults(main=check_rules)
    check = actions.add_parser("check", help="lint, and see that the patches apply to the two revisions")
    check.set_defaults(main=check_all, revision=None, source=None, all=False)


def show_states(arguments: argparse.Namespace) -> int:
    """Print the state of each patch; exit with PatchConflict's status if one conflicts."""
    named = list(revision.load()) if arguments.all else options.REVISIONS
    patches, conflicts = series.load(), []
    for wanted in options.revisions(arguments, default=named):
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


def check_all(arguments: argparse.Namespace) -> int:
    """Check the rules, then print the state of each patch."""
    return check_rules(arguments) or show_states(arguments)


def start_tree(arguments: argparse.Namespace) -> int:
    """Make a working tree of a revision with its patches, and say how to go on."""
    tree = workspace(revision.find(arguments.name))
    applied = worktree.start(tree, series.load(), arguments.folder)
    console.out.print(
        f"{len(applied)} patches are commits in {arguments.folder}, the oldest first\n"
        f"change them there with `git commit --amend` and `git rebase -i {BASE}`, add commits, then:\n"
        f"  sdcpp patch export {arguments.folder}",
        markup=False,
    )
    return 0


def export_tree(arguments: argparse.Namespace) -> int:
    """Write the commits of a working tree into patches/ and say which files that changed."""
    done = worktree.export(arguments.folder, project.checkout() / "patches")
    for word, names in (("written", done.written), ("removed", done.removed)):
        for name in names:
            console.out.print(f"{word:8} {name}", markup=False)
    console.out.print(f"{len(done.same)} patches are as they were", markup=False)
    return 0
