"""Check patches/ against the rules of CONTRIBUTING.md, without any source."""

from __future__ import annotations

import argparse

from sdcpp import console, project
from sdcpp.errors import SeriesInvalid
from sdcpp.patching import series

EPILOG = """\
output
  Exit status 0: every patch follows the rules. 21: one does not; all complaints are shown.

examples
  sdcpp patch lint
  nox -s lint                 this and the other checks of the project
"""


def add_arguments(_: argparse.ArgumentParser) -> None:
    """Add nothing: the command has no options."""


def main(_: argparse.Namespace) -> int:
    """Run the command."""
    require_rules()
    return 0


def require_rules() -> None:
    """Print the number of patches; raise SeriesInvalid with every complaint if one breaks a rule."""
    complaints = series.lint()
    if complaints:
        raise SeriesInvalid("\n".join(complaints), project.PATCHES, "CONTRIBUTING.md has the rules")
    console.out.print(f"{len(series.names())} patches follow the rules")
