"""Report a run of verify to GitHub Actions, and write the comment on a pull request from that report."""

from __future__ import annotations

from harness.cli.commands import Command, CommandParser, add_commands

EPILOG = """\
.github/actions/verify runs these commands in the workflow of another repository: docs/ci.md.

examples
  sdcpp ci report reports/verify --checkout . --merge-base HEAD^1 --status 5
  sdcpp ci comment verdict.json --address https://github.com/OWNER/NAME/actions/runs/1
"""
COMMANDS = {
    "report": Command(
        module="harness.cli.ci.report", summary="write the step summary, annotations and outputs of a run"
    ),
    "comment": Command(
        module="harness.cli.ci.comment", summary="print the comment on a pull request from its verdict.json"
    ),
}


def add_arguments(parser: CommandParser) -> None:
    """Add the subcommands."""
    add_commands(parser, COMMANDS)
