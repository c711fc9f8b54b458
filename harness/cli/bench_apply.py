"""Measure what applying an adapter costs, for ``sdcpp bench --apply``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from harness.cli import options
from harness.quantising.library_quantiser import LibraryQuantiser
from harness.studies.applying import models, page, study
from harness.studies.applying.floor import floor
from harness.studies.applying.measurement import AdapterFile, Picture, measure
from sdcpp import console
from sdcpp.binding.build_folder import Build
from sdcpp.building import build
from sdcpp.errors import NothingTried
from sdcpp.machine import backends
from sdcpp.patching import series
from sdcpp.patching.state import find_states, patches_to_apply
from sdcpp.process import cores, quoted
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
    group.add_argument("--output", type=Path, metavar="FILE", help="write the measurement as JSON")


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    wanted = [_adapter(text) for text in arguments.adapter or DEFAULT]
    if arguments.steps < 2:
        raise NothingTried("a picture has one step", "--steps", "give two steps or more")
    named = revision.find(arguments.revision)
    backend = backends.get(arguments.backend)
    backends.require(backend)
    builds = _builds(arguments, named)
    base = models.MODELS[arguments.base]
    console.note(f"making {base.name}")
    base.make()
    picture = Picture(size=arguments.size, steps=arguments.steps, rounds=arguments.repeat)
    with tempfile.TemporaryDirectory(prefix="sdcpp-apply-") as name:
        folder = Path(name)
        adapters = []
        with LibraryQuantiser(next(iter(builds.values())).folder) as quantiser:
            for rank, kind in wanted:
                path = folder / f"r{rank}-{kind}{'.safetensors' if kind == 'F16' else '.gguf'}"
                block = quantiser.info(kind).block if kind != "F16" else 1
                size = models.write_adapter(
                    path, base, rank=rank, kind=kind, quantise=quantiser.quantise, block=block
                )
                adapters.append(AdapterFile(rank=rank, kind=kind, size=size, path=path))
        device = "cuda" if arguments.backend == "cuda" else "cpu"
        floors = {str(a.rank): floor(device, a.path) for a in adapters if a.kind == "F16"}
        costs = measure(
            builds,
            backend=arguments.backend,
            base=base,
            modes=arguments.mode or MODES,
            adapters=adapters,
            picture=picture,
        )
    measured = study.ApplyStudy(
        command=quoted(["sdcpp", *sys.argv[1:]]),
        revision=named.name,
        backend=arguments.backend,
        device=backend.device.name,
        cores=cores(),
        date=datetime.now(UTC).date().isoformat(),
        base=arguments.base,
        layers=len(models.linear_layers(base)),
        picture=picture,
        costs=costs,
        floors={rank: found for rank, found in floors.items() if found},
    )
    if arguments.output:
        study.write([measured], arguments.output)
    console.out.print(page.page([measured]), markup=False, highlight=False)
    return 0


def _adapter(text: str) -> tuple[int, str]:
    """Return the rank and the type that a text such as "16-Q8_0" names; raises NothingTried."""
    rank, _, kind = text.partition("-")
    if not (rank.isdecimal() and int(rank) and kind):
        raise NothingTried("not the rank and the type of an adapter", text, "give one such as 16-Q8_0")
    return int(rank), kind


def _builds(arguments: argparse.Namespace, named: revision.Revision) -> dict[str, Build]:
    """Return the builds of the sides by label."""
    tree = workspace.workspace(named)
    builds = {}
    for side in options.SIDES[arguments.side]:
        patches = patches_to_apply(find_states(tree, series.load())) if side == "patched" else ()
        builds[side] = build.build(tree, patches, arguments.backend, options=dict(arguments.options))
    return builds
