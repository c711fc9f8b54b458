"""``sdcpp build``: compile the library at a revision, with or without the patches."""

from __future__ import annotations

import argparse

from harness.cli import options
from sdcpp import console
from sdcpp.building import build as builds
from sdcpp.building import sanitizer
from sdcpp.machine import backends
from sdcpp.patching import series
from sdcpp.patching.patch_file import Patch
from sdcpp.source.workspace import workspace

RESUMES = True
EPILOG = """\
what comes out
  The folder of each build on standard output: library, header, the compiler's table of the header, build.log
  and build.json. A second call finds them and does nothing.

examples
  sdcpp build                                                both named revisions, pristine and patched
  sdcpp build --backend vulkan --revision 2026-05            one revision for Vulkan
  sdcpp build --source ~/stable-diffusion.cpp --pristine     a checkout of your own, as it is
  sdcpp build --backend cuda -D CMAKE_CUDA_ARCHITECTURES=90  with a further CMake entry
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    options.add_backend(parser)
    options.add_revisions(parser)
    options.add_source(parser)
    options.add_one_side(parser)
    options.add_cmake_entries(parser, "a further CMake cache entry")
    parser.add_argument(
        "--sanitize",
        action="store_true",
        help="with AddressSanitizer and UBSan; see sdcpp/building/sanitizer.py",
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="compilers at a time (default: one a core)")


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    revisions = options.revisions(arguments)
    backends.require(backends.get(arguments.backend))
    entries = dict(arguments.options) | dict(sanitizer.OPTIONS if arguments.sanitize else {})
    for wanted in revisions:
        tree = workspace(wanted)
        sides: list[tuple[Patch, ...]] = [] if arguments.patched else [()]
        if not arguments.pristine:
            sides.append(series.patches_to_apply(series.states(tree, series.load())))
        for patches in sides:
            made = builds.build(tree, patches, arguments.backend, options=entries, jobs=arguments.jobs)
            console.out.print(str(made.folder), markup=False)
    return 0
