"""Build the sides of a comparison and select their cases."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.util import Finalize

import numpy as np
from numpy.typing import NDArray

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import select
from harness.cases.matrix import BlockMaker, Matrix
from harness.quantising.library_quantiser import LibraryQuantiser
from harness.records.record import Side
from sdcpp import console
from sdcpp.binding import header
from sdcpp.binding.api.apply_modes import apply_modes
from sdcpp.binding.build_folder import Build
from sdcpp.building import build, sanitizer
from sdcpp.machine import backends
from sdcpp.patching import series
from sdcpp.patching.patch_file import Patch
from sdcpp.process import quoted
from sdcpp.source import workspace
from sdcpp.source.revision import Folder, Revision


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """What is asked of every side: a matrix, a selection from it, a backend, and the command that asks it.

    ``options`` are further CMake cache entries of the builds.
    """

    matrix: Matrix
    backend: str = "cpu"
    select: Sequence[str] = ()
    where: Mapping[str, str] = field(default_factory=dict)
    sides: Sequence[str] = ("pristine", "patched")
    command: Sequence[str] = ("nox", "-s", "verify", "--")
    options: Mapping[str, str] = field(default_factory=dict)

    def rerun_command(self, *named: str) -> list[str]:
        """Return the words of the command that asks the same of what ``named`` names, but for the selection."""
        words = [*self.command, *named]
        if self.backend != "cpu":
            words += ["--backend", self.backend]
        for name, value in self.options.items():
            words += ["-D", f"{name}={value}"]
        return words


def revision_arguments(revision: Revision) -> tuple[str, str]:
    """Return the words of a command line that name a revision: a folder by its path, any other by its name."""
    origin = revision.origin
    return ("--source", str(origin.path)) if isinstance(origin, Folder) else ("--revision", revision.name)


@contextmanager
def open_block_maker(revision: Revision, spec: RunSpec) -> Iterator[BlockMaker]:
    """Yield what makes the types that a spec needs: the revision's own library, in a child process."""
    if not spec.matrix.needs_block_maker:
        yield BlockMaker()
        return
    # A sanitized library makes the same blocks, slowly.
    options = {n: value for n, value in spec.options.items() if n not in sanitizer.OPTIONS}
    made = build.build(workspace.workspace(revision), (), spec.backend, options=options)
    lock = threading.Lock()
    with LibraryQuantiser(made.folder) as quantiser:
        own = {os.getpid(): quantiser}

        def quantise(values: NDArray[np.float32], kind: str) -> NDArray[np.uint8]:
            with lock:  # files are made by several threads
                if os.getpid() not in own:  # or by a copy of this process, which needs a library of its own
                    another = own[os.getpid()] = LibraryQuantiser(made.folder, threads=1)
                    Finalize(another, another.close, exitpriority=0)
                return own[os.getpid()].quantise(values, kind)

        yield BlockMaker(types={n: info.block for n, info in quantiser.types().items()}, quantise=quantise)


def build_sides(
    revision: Revision, patches: Sequence[Patch], spec: RunSpec, maker: BlockMaker
) -> list[BuildUnderTest]:
    """Build a revision pristine and with those of ``patches`` that are for it; return the sides asked for.

    Raises what fetching, patching and building raise.
    """
    console.note(f"== {revision.name}: upstream {revision.tag or revision.commit or 'working tree'}")
    tree = workspace.workspace(revision)
    states = series.states(tree, patches)
    for state in states:
        console.note(f"   patch {state.patch.name}: {state.state.value}")
    applied = series.patches_to_apply(states)
    contenders = []
    for label in spec.sides:
        made = build.build(tree, applied if label == "patched" else (), spec.backend, options=spec.options)
        again = spec.rerun_command(*revision_arguments(revision))
        found = build_under_test(made, label, spec, maker, patched=label == "patched", again=again)
        known = {state.patch.name: state.state.value for state in states}
        contenders.append(replace(found, side=replace(found.side, build={**made.record, "states": known})))
    return contenders


def build_under_test(
    made: Build, label: str, spec: RunSpec, maker: BlockMaker, *, patched: bool, again: Sequence[str]
) -> BuildUnderTest:
    """Return a build as a side with the spec's cases; ``again`` asks the spec of its revision alone."""
    modes = apply_modes(header.read(made.header))
    found = spec.matrix.cases(made.record["generation"], modes, maker)
    name, used = made.record["revision"], backends.get(spec.backend).device
    return BuildUnderTest(
        side=Side(
            label=f"{name} {label}",
            revision=name,
            patched=patched,
            backend=spec.backend,
            identity=made.identity,
            build=made.record,
            device=used.name,
            driver=used.driver,
            bases={base.name: base.sha256 for base in spec.matrix.bases[made.record["generation"]]},
        ),
        build=made,
        cases=select(found, spec.select, spec.where),
        repeat=quoted([*again, "--select"]),
    )
