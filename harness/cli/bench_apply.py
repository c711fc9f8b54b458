"""Measure what applying an adapter costs, for ``sdcpp bench --apply``."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from harness.cli import options
from harness.models.base_model import Base
from harness.quantising.library_quantiser import LibraryQuantiser
from harness.studies.applying import models, page, peer, study
from harness.studies.applying.floor import floor
from harness.studies.applying.measurement import AdapterFile, Picture, measure
from sdcpp import console, project
from sdcpp.binding.build_folder import Build
from sdcpp.building import build
from sdcpp.errors import NothingTried
from sdcpp.machine import backends
from sdcpp.patching import series
from sdcpp.patching.state import find_states, patches_to_apply
from sdcpp.process import cores, load, quoted
from sdcpp.source import revision, workspace

#: The modes that are measured.
MODES = ("immediately", "at_runtime")
#: The adapters that are measured unless others are named.
DEFAULT = tuple(f"{rank}-{kind}" for rank in (16, 64, 128) for kind in ("F16", "Q8_0", "Q4_K"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that only ``--apply`` uses."""
    group = parser.add_argument_group("with --apply")
    options.add_backend(group)
    options.add_side(group)
    options.add_cmake_entries(group, "another CMake cache entry; may be repeated")
    group.add_argument("--base", choices=models.MODELS, default="sd1", help="default: sd1")
    group.add_argument(
        "--adapter", action="append", metavar="RANK-TYPE", help="default: 16-F16, ... 128-Q4_K"
    )
    group.add_argument("--mode", action="append", choices=MODES, help="default: both")
    group.add_argument("--size", type=options.positive, default=512, metavar="PIXELS", help="default: 512")
    group.add_argument("--steps", type=options.positive, default=20, metavar="N", help="default: 20")
    group.add_argument(
        "--threads",
        type=options.positive,
        metavar="N",
        help="threads of the library (default: one per core; on busy cores 1 is faster)",
    )
    group.add_argument("--output", type=Path, metavar="FILE", help="write the measurement as JSON")
    group.add_argument(
        "--python",
        type=Path,
        metavar="FILE",
        help=f"a Python with torch, diffusers and peft, whose times are measured too; with {', '.join(peer.BASES)}",
    )
    group.add_argument(
        "--recorded",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="measure nothing, read results/cost.json; with FILEs of --output, add those to it",
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.write_docs or arguments.recorded is not None:
        project.checkout()  # before a run of minutes
    if arguments.python and arguments.base not in peer.BASES:
        arguments.complain(f"--python measures {', '.join(peer.BASES)} only")
    studies: Sequence[study.ApplyStudy] = []
    if arguments.recorded is not None:
        added = [found for path in arguments.recorded for found in study.read(path)]
        studies = study.read(page.RESULTS) if not added else []
        for found in added:
            studies = study.add(found, page.RESULTS) if arguments.write_docs else [*studies, found]
    else:
        for measured in _measured(arguments):
            if arguments.output:
                study.write([measured], arguments.output)
            # What an interrupted run has measured is kept.
            studies = study.add(measured, page.RESULTS) if arguments.write_docs else [measured]
    console.out.print(page.page(studies), markup=False, highlight=False)
    if arguments.write_docs:
        console.note(f"wrote {page.write(studies)}")
    return 0


def _measured(arguments: argparse.Namespace) -> Iterator[study.ApplyStudy]:
    """Build the sides, make the files and measure. Yield the study after each adapter, with one cost more."""
    wanted = [adapter(text) for text in arguments.adapter or DEFAULT]
    if arguments.steps < 2:
        raise NothingTried("a picture has one step", "--steps", "give two steps or more")
    named = revision.find(arguments.revision)
    backend = backends.get(arguments.backend)
    backends.require(backend)
    sides = builds(arguments, named)
    base = models.MODELS[arguments.base]
    console.note(f"making {base.name}")
    base.make()
    picture = Picture(size=arguments.size, steps=arguments.steps, rounds=arguments.repeat)
    busy, device = load(), "cuda" if arguments.backend == "cuda" else "cpu"
    threads = arguments.threads or cores()
    with tempfile.TemporaryDirectory(prefix="sdcpp-apply-") as name:
        with LibraryQuantiser(next(iter(sides.values())).folder) as quantiser:
            adapters = [write_adapter(Path(name), quantiser, base, each) for each in wanted]
        floats = [adapter for adapter in adapters if adapter.kind == "F16"]
        floors = {str(a.rank): floor(device, a.path) for a in floats}
        peers = []
        if arguments.python:
            ranks = [adapter.rank for adapter in floats]
            peers = peer.measure_peer(
                arguments.python, arguments.base, device, ranks, picture=picture, threads=threads
            )
        measured = study.ApplyStudy(
            command=_command(arguments.python),
            revision=named.name,
            backend=arguments.backend,
            device=backend.device.name,
            cores=os.cpu_count() or 1,
            date=datetime.now(UTC).date().isoformat(),
            base=arguments.base,
            layers=len(models.linear_layers(base)),
            picture=picture,
            costs=[],
            floors={rank: found for rank, found in floors.items() if found},
            load=busy,
            threads=threads,
            peers=peers,
        )
        for cost in measure(
            sides,
            backend=arguments.backend,
            base=base,
            modes=arguments.mode or MODES,
            adapters=adapters,
            picture=picture,
            threads=threads,
        ):
            measured = replace(measured, costs=[*measured.costs, cost])
            yield measured


def _command(python: Path | None) -> str:
    """Return the command that was given. Of the Python of the peer it has the name only."""
    words = [python.name if python and word == str(python) else word for word in sys.argv[1:]]
    return quoted(["sdcpp", *words])


def write_adapter(
    folder: Path, quantiser: LibraryQuantiser, base: Base, name: tuple[int, str], part: str = ""
) -> AdapterFile:
    """Write an adapter into a folder. ``name`` is its rank and type.

    It changes the linear layers that have ``part`` in their names.
    """
    rank, kind = name
    path = folder / f"r{rank}-{kind}{'.safetensors' if kind == 'F16' else '.gguf'}"
    block = quantiser.info(kind).block if kind != "F16" else 1
    size = models.write_adapter(
        path, base, rank=rank, kind=kind, quantise=quantiser.quantise, block=block, part=part
    )
    return AdapterFile(rank=rank, kind=kind, size=size, path=path)


def adapter(text: str) -> tuple[int, str]:
    """Return the rank and the type that a text such as "16-Q8_0" names; raises NothingTried."""
    rank, _, kind = text.partition("-")
    if not (rank.isdecimal() and int(rank) and kind):
        raise NothingTried("not the rank and the type of an adapter", text, "give one such as 16-Q8_0")
    return int(rank), kind


def builds(arguments: argparse.Namespace, named: revision.Revision) -> dict[str, Build]:
    """Return the builds of the sides by label."""
    tree = workspace.workspace(named)
    found = {}
    for side in options.SIDES[arguments.side]:
        patches = patches_to_apply(find_states(tree, series.load())) if side == "patched" else ()
        found[side] = build.build(tree, patches, arguments.backend, options=dict(arguments.options))
    return found
