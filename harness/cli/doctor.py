"""List what each backend needs to be built and run here, and how to get what is missing."""

from __future__ import annotations

import argparse

from rich.text import Text

from sdcpp import console
from sdcpp.errors import ToolMissing
from sdcpp.machine import backends, doctor

EPILOG = """\
output
  The command prints for each backend its tools with their versions, the devices with their
  drivers and, for what is missing, the command that installs it.
  Exit status 0; with --backend 30 if something is missing for that backend.

examples
  sdcpp doctor
  sdcpp doctor --backend vulkan
"""
STYLES = {"ok": "green", "missing": "bold red", "note": "yellow"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--backend", choices=sorted(backends.BACKENDS), help="default: all")


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    names = [arguments.backend] if arguments.backend else list(backends.BACKENDS)
    found = [doctor.examine(backends.get(name)) for name in names]
    for health in found:
        state = "ready" if health.ready else "not ready"
        console.out.print(Text(f"{health.backend.name}: {state}", style="bold"))
        for check in health.checks:
            line = Text.assemble("  ", (f"{check.mark:8}", STYLES[check.mark]), check.what)
            console.out.print(line, soft_wrap=True, highlight=False)
            if check.remedy:
                console.out.print(Text(f"          {check.remedy}"), soft_wrap=True, highlight=False)
    return ToolMissing.exit_code if arguments.backend and not found[0].ready else 0
