"""Check patches/ against the rules, then show whether each patch applies to the revisions of verify."""

from __future__ import annotations

import argparse

from harness.cli import options
from harness.cli.patch import lint, state
from sdcpp.source import revision

EPILOG = """\
output
  The command prints what sdcpp patch lint and sdcpp patch state print, and has their exit
  statuses.

examples
  sdcpp patch check
  sdcpp patch lint            only the rules
"""


def add_arguments(_: argparse.ArgumentParser) -> None:
    """Add nothing: the command has no options."""


def main(_: argparse.Namespace) -> int:
    """Run the command."""
    lint.require_rules()
    return state.show([revision.find(name) for name in options.REVISIONS], folder=None)
