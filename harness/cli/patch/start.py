"""Make a working tree of a revision that has the patches as commits, to edit them there."""

from __future__ import annotations

import argparse
from pathlib import Path

from sdcpp import console
from sdcpp.patching import series, worktree
from sdcpp.source import revision
from sdcpp.source.workspace import BASE, workspace

EPILOG = """\
examples
  sdcpp patch start 2026-05 ~/series
  sdcpp patch start 2025-12 ~/series-2025-12
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("name", metavar="REVISION", help="a revision of revisions.toml")
    parser.add_argument("folder", type=Path, metavar="DIR", help="a new or empty folder")


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    tree = workspace(revision.find(arguments.name))
    applied = worktree.start(tree, series.load(), arguments.folder)
    console.out.print(
        f"{len(applied)} patches are commits in {arguments.folder}, the oldest first.\n"
        f"Edit them there with `git commit --amend` and `git rebase -i {BASE}`, or add commits. Then run\n"
        f"  sdcpp patch export {arguments.folder}",
        markup=False,
    )
    return 0
