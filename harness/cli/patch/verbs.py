"""Show the state of the patch series, carry it onto a clone, edit it as commits, export and check it."""

from __future__ import annotations

from harness.cli.commands import Command, CommandParser, add_commands

EPILOG = """\
examples
  sdcpp patch state                     every patch on the revisions that verify runs on
  sdcpp patch port ~/clone              a branch in your clone of upstream, one commit per patch
  sdcpp patch start 2026-05 ~/series    a working tree of the revision, with one commit per patch
  sdcpp patch export ~/series           write the commits back into patches/
  sdcpp patch send lora-rank-one        the text and the evidence of a pull request; sends nothing
  sdcpp patch check                     check the rules, and whether every patch still applies
"""
COMMANDS = {
    "state": Command(
        module="harness.cli.patch.state",
        summary="show whether each patch applies, conflicts or is no longer needed",
    ),
    "port": Command(
        module="harness.cli.patch.port", summary="carry the patches onto a clone of upstream, as a branch"
    ),
    "start": Command(
        module="harness.cli.patch.start", summary="make a working tree that has the patches as commits"
    ),
    "export": Command(
        module="harness.cli.patch.export", summary="write the commits of a working tree into patches/"
    ),
    "send": Command(
        module="harness.cli.patch.send", summary="write what a pull request for one patch needs into a folder"
    ),
    "lint": Command(
        module="harness.cli.patch.lint", summary="check the rules of CONTRIBUTING.md; needs no source"
    ),
    "check": Command(
        module="harness.cli.patch.check", summary="lint, and check that the patches apply to these revisions"
    ),
}


def add_arguments(parser: CommandParser) -> None:
    """Add the subcommands."""
    add_commands(parser, COMMANDS)
