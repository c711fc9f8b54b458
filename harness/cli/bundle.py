"""Pack a run into one file, for a machine without network or for somebody else's machine."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.bundle import pack
from harness.cli import options
from sdcpp import console
from sdcpp.machine import backends
from sdcpp.source import revision

EPILOG = """\
output
  One file: upstream's sources (36 MB for the two named revisions), Python packages (59 MB for
  Python 3.11 on x86-64 Linux, less those of --omit), and the project as it is here (1 MB).
  On the other machine
      python3 sdcpp-cuda.pyz
  runs the quick and the full matrix without network and writes sdcpp-cuda.records.jsonl beside
  it. Send that file back; sdcpp combine shows it beside others. The other machine needs Python
  of the packed version, pip, git and the compilers of the backend.
      python3 sdcpp-cuda.pyz doctor --backend cuda
  lists what it lacks.

examples
  sdcpp bundle --backend cuda                               for a machine like this one
  sdcpp bundle --backend cuda --python 3.12 --platform manylinux_2_28_x86_64
  sdcpp bundle --backend cuda --omit numpy --omit cmake     the other machine has these packages
  sdcpp bundle --backend cuda -- --matrix quick -D CMAKE_CUDA_ARCHITECTURES=90
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--backend", required=True, choices=sorted(backends.BACKENDS))
    options.add_revisions(parser)
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    parser.add_argument(
        "--python", default=here, metavar="X.Y", help=f"the other machine's version (default: {here})"
    )
    parser.add_argument(
        "--platform",
        action="append",
        default=[],
        metavar="TAG",
        help="a platform tag of wheels, as pip takes it; may be repeated (default: this machine's)",
    )
    parser.add_argument(
        "--omit",
        action="append",
        default=[],
        metavar="NAME",
        help="a package that the other machine has; may be repeated",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: sdcpp-BACKEND.pyz")
    parser.add_argument(
        "arguments", nargs="*", metavar="ARGUMENT", help="more arguments of sdcpp verify, after --"
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.python != f"{sys.version_info.major}.{sys.version_info.minor}" and not arguments.platform:
        arguments.complain("--python needs --platform: pip asks for both")
    names = arguments.revision or options.REVISIONS
    order = ["verify", "--compact", "--backend", arguments.backend]
    if not any(word.startswith(("--matrix", "--quick")) for word in arguments.arguments):
        order += ["--matrix", "quick", "--matrix", "full"]
    for name in names:
        order += ["--revision", name]
    path = pack.pack(
        arguments.output or Path(f"sdcpp-{arguments.backend}.pyz"),
        [*order, *arguments.arguments],
        [revision.find(name) for name in names],
        python=arguments.python,
        platforms=arguments.platform,
        omit=arguments.omit,
    )
    console.note(f"wrote {path}, {path.stat().st_size / 1e6:.0f} MB")
    console.note(f"there: python3 {path.name}")
    return 0
