"""Compile the library at a revision, without and with the patches."""

from __future__ import annotations

import argparse

from harness.cli import options
from sdcpp import console
from sdcpp.building import build as builds
from sdcpp.building import sanitizer
from sdcpp.machine import backends
from sdcpp.patching import series
from sdcpp.patching.patch_file import Patch
from sdcpp.patching.state import find_states, patches_to_apply
from sdcpp.source.workspace import workspace

RESUMES = True
RENAMED = {"--source": ("--checkout",), **options.RENAMED_SIDES}
EPILOG = """\
output
  The command prints the folder of each build, which has the library, the header, the compiler's
  table of the header, build.log and build.json. If a build exists already, nothing is compiled.

examples
  sdcpp build                                                     all three revisions and both sides
  sdcpp build --backend vulkan --revision 2026-05                 one revision for Vulkan
  sdcpp build --checkout ~/stable-diffusion.cpp --side pristine   your checkout as it is
  sdcpp build --backend cuda -D CMAKE_CUDA_ARCHITECTURES=90       with another CMake cache entry
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    options.add_backend(parser)
    options.add_revisions(parser)
    options.add_checkout(parser, ", in place of a revision")
    options.add_side(parser)
    options.add_cmake_entries(parser, "another CMake cache entry; may be repeated")
    parser.add_argument(
        "--sanitize", action="store_true", help="build with AddressSanitizer and UBSan; only for the CPU"
    )
    parser.add_argument(
        "--jobs", type=options.positive, metavar="N", help="compilers at a time (default: one per core)"
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    revisions = options.revisions(arguments)
    backends.require(backends.get(arguments.backend))
    entries = dict(arguments.options) | dict(sanitizer.OPTIONS if arguments.sanitize else {})
    for wanted in revisions:
        tree = workspace(wanted)
        for side in options.SIDES[arguments.side]:
            patches: tuple[Patch, ...] = ()
            if side == "patched":
                patches = patches_to_apply(find_states(tree, series.load()))
            made = builds.build(tree, patches, arguments.backend, options=entries, jobs=arguments.jobs)
            console.out.print(str(made.folder), markup=False)
    return 0
