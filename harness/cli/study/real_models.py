"""Try a LoRA on random models of the size that people have, as sdcpp lora try does."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.cli import bench_apply, options
from harness.quantising.library_quantiser import LibraryQuantiser
from harness.studies.applying import models
from harness.studies.real_models import page, study
from sdcpp import console, project
from sdcpp.machine import backends
from sdcpp.process import quoted
from sdcpp.source import revision

RENAMED = options.RENAMED_SIDES
#: The models that are tried unless others are named.
DEFAULT = ("sd1", "sdxl", "flux-q8")
EPILOG = """\
output
  The models are made once and kept in the cache: 2 GB for Stable Diffusion 1, 7 GB for SDXL, 13 GB
  for Flux in Q8_0. A model with the LoRA merged takes as much again. --output writes the record
  after each model; --write-docs adds it to results/real-models.json and writes docs/real-models.md.

examples
  sdcpp study real-models --base sd1 --revision 2026-07
  sdcpp study real-models --backend cuda --output real-models.json
  sdcpp study real-models --recorded real-models.json --write-docs    add another record
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    options.add_revision(parser)
    options.add_side(parser, "patched")
    options.add_backend(parser)
    options.add_cmake_entries(parser, "another CMake cache entry; may be repeated")
    parser.add_argument(
        "--base",
        action="append",
        choices=models.MODELS,
        help=f"may be repeated (default: {' '.join(DEFAULT)})",
    )
    parser.add_argument(
        "--adapter", default="32-Q8_0", metavar="RANK-TYPE", help="the LoRA (default: %(default)s)"
    )
    parser.add_argument(
        "--multiplier", type=float, default=4.0, metavar="X", help="of the LoRA (default: %(default)g)"
    )
    parser.add_argument(
        "--size", type=options.positive, default=256, metavar="PIXELS", help="default: %(default)s"
    )
    parser.add_argument("--steps", type=options.positive, default=2, metavar="N", help="default: %(default)s")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the record as JSON")
    parser.add_argument(
        "--recorded",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="run nothing, read results/real-models.json; with FILEs of --output, add those to it",
    )
    parser.add_argument(
        "--write-docs", action="store_true", help="write results/real-models.json and docs/real-models.md"
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.write_docs or arguments.recorded is not None:
        project.checkout()
    if arguments.recorded is not None:
        found = [each for path in arguments.recorded for each in study.read(path)]
        if found and arguments.write_docs:
            study.add(found)
    else:
        found = []
        for each in _attempts(arguments):
            found.append(each)
            if arguments.output:
                study.add([each], arguments.output)
            if arguments.write_docs:
                study.add([each])
    shown = found if found and not arguments.write_docs else study.read()
    console.out.print(page.page(shown), markup=False, highlight=False)
    if arguments.write_docs:
        console.note(f"wrote {page.write(shown)}")
    return 0


def _attempts(arguments: argparse.Namespace) -> Iterator[study.Attempt]:
    """Yield an attempt for each model and side."""
    backend = backends.get(arguments.backend)
    backends.require(backend)
    builds = bench_apply.builds(arguments, revision.find(arguments.revision))
    adapter = bench_apply.adapter(arguments.adapter)
    for name in arguments.base or DEFAULT:
        base = models.MODELS[name]
        console.note(f"making {base.name}")
        base.make()
        with tempfile.TemporaryDirectory(prefix="sdcpp-real-") as folder:
            with LibraryQuantiser(next(iter(builds.values())).folder) as quantiser:
                part = "attn" if base.architecture == "flux" else ""
                file = bench_apply.write_adapter(Path(folder), quantiser, base, adapter, part)
            for build in builds.values():
                found = study.attempt(
                    build,
                    base,
                    study.Adapter(name=arguments.adapter, path=file.path, multiplier=arguments.multiplier),
                    name=name,
                    device=backend.device.name,
                    pixels=arguments.size,
                    steps=arguments.steps,
                    command=quoted(["sdcpp", *sys.argv[1:]]),
                )
                console.note(f"   {name}: {found.conclusion or found.problem}")
                yield found
