"""``sdcpp build``: compile the library at a revision, with or without the patches."""

from __future__ import annotations

import argparse
from pathlib import Path

from sdcpp import backend, console, revision, sanitizer, series
from sdcpp import build as builds
from sdcpp.patch import Patch
from sdcpp.source import workspace

#: What is built when nothing is said.
REVISIONS = ("2025-12", "2026-05")

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


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "build",
        help="compile the library",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--backend", default="cpu", choices=sorted(backend.BACKENDS), help="default: cpu")
    parser.add_argument(
        "--revision",
        action="append",
        metavar="NAME",
        help=f"a revision of revisions.toml; may be repeated (default: {', '.join(REVISIONS)})",
    )
    parser.add_argument(
        "--source", type=Path, metavar="DIR", help="a checkout of your own instead, with its uncommitted work"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--pristine", action="store_true", help="without the patches only")
    which.add_argument("--patched", action="store_true", help="with the patches only")
    parser.add_argument(
        "-D",
        dest="options",
        type=cmake_entry,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a further CMake cache entry",
    )
    parser.add_argument(
        "--sanitize", action="store_true", help="with AddressSanitizer and UBSan; see sdcpp/sanitizer.py"
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="compilers at a time (default: one a core)")
    parser.set_defaults(main=main)


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    revisions = [revision.find(name) for name in arguments.revision or REVISIONS]
    if arguments.source:
        revisions = [revision.from_folder(arguments.source)]
    backend.require(backend.get(arguments.backend))
    options = dict(arguments.options) | dict(sanitizer.OPTIONS if arguments.sanitize else {})
    for wanted in revisions:
        tree = workspace(wanted)
        sides: list[tuple[Patch, ...]] = [] if arguments.patched else [()]
        if not arguments.pristine:
            sides.append(series.needed(series.states(tree, series.load())))
        for patches in sides:
            made = builds.build(tree, patches, arguments.backend, options=options, jobs=arguments.jobs)
            console.out.print(str(made.folder), markup=False)
    return 0


def cmake_entry(text: str) -> tuple[str, str]:
    """Return the name and the value that ``NAME=VALUE`` or ``NAME:TYPE=VALUE`` gives."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not a CMake cache entry: write NAME=VALUE")
    return name.partition(":")[0], value
