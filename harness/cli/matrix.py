"""``sdcpp matrix``: everything there is to try, on every revision asked for."""

from __future__ import annotations

import argparse

from harness.cases.matrix import FULL
from harness.cli import runs, verify

RESUMES = True
EPILOG = """\
what comes out
  As for verify, in reports/matrix. A run that was interrupted is taken up where it ended: give the same command.

examples
  sdcpp matrix --revision 2026-05                        everything, on one revision as upstream has it
  sdcpp matrix --patched                                 with the patches
  sdcpp matrix --where mode=at_runtime --where type=F16  by dimension; --list shows the dimensions
  sdcpp matrix --select 'A-*'                            by name
  sdcpp matrix --sanitize --where mode=at_runtime --select 'gguf-t1-*'   what does not crash by luck
  sdcpp matrix --source ~/stable-diffusion.cpp           a change of your own, before and after; see verify --help
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    verify.add_change(parser)
    runs.add_arguments(parser, "matrix")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--patched", action="store_true", help="with the patches instead of without")
    which.add_argument("--both", action="store_true", help="without and with the patches")
    parser.add_argument(
        "--sanitize",
        action="store_true",
        help="builds with AddressSanitizer and UBSan, for the broken files; three times slower",
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if (arguments.patched or arguments.both) and (arguments.source or arguments.patch):
        arguments.complain("--patched and --both speak of the series; a change has its own two sides")
    sides = (
        ("patched",) if arguments.patched else ("pristine", "patched") if arguments.both else ("pristine",)
    )
    chosen = [f"--{name}" for name in ("patched", "both") if getattr(arguments, name)]
    return verify.execute(arguments, FULL, ["sdcpp", "matrix", *chosen], sides)
