"""Write the commits of a working tree that sdcpp patch start made into patches/."""

from __future__ import annotations

import argparse
from pathlib import Path

from sdcpp import console, project
from sdcpp.patching import worktree

EPILOG = """\
output
  The command prints the names of the patch files that it wrote or removed. A second export of the
  same commits changes nothing.

examples
  sdcpp patch export ~/series
  sdcpp patch export .
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="a folder that sdcpp patch start made")


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    done = worktree.export(arguments.folder, project.checkout() / "patches")
    for word, names in (("written", done.written), ("removed", done.removed)):
        for name in names:
            console.out.print(f"{word:8} {name}", markup=False)
    console.out.print(f"{len(done.unchanged)} patches are unchanged", markup=False)
    return 0
