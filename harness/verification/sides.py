"""Build the sides of a comparison and select the cases to run on each."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.util import Finalize
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import select
from harness.cases.fixture import BlockQuantiser
from harness.cases.matrix import CaseSource
from harness.cases.settings import FLAGS
from harness.formats import gguf_types
from harness.quantising.library_quantiser import LibraryQuantiser
from harness.quantising.type_info import TypeInfo
from harness.records.record import Side
from sdcpp import console
from sdcpp.binding import header
from sdcpp.binding.api import context_options
from sdcpp.binding.api.apply_modes import apply_modes
from sdcpp.binding.build_folder import Build
from sdcpp.building import build, coverage, sanitizer
from sdcpp.errors import LibraryUnusable
from sdcpp.machine import backends
from sdcpp.patching.patch_file import Patch
from sdcpp.patching.state import PatchState, State, find_states, patches_to_apply
from sdcpp.process import quoted
from sdcpp.source import workspace
from sdcpp.source.revision import Folder, Revision

#: How many revisions are built for the CPU at the same time, each with as many compilers as there are processors.
_TOGETHER = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """What to run on every side: a matrix, a selection of its cases, and a backend.

    ``command`` is the argument list that runs this matrix, without options. ``options`` are additional CMake cache
    entries of the builds.
    """

    matrix: CaseSource
    backend: str = "cpu"
    select: Sequence[str] = ()
    where: Sequence[tuple[str, str]] = ()
    sides: Sequence[str] = ("pristine", "patched")
    command: Sequence[str] = ("nox", "-s", "verify", "--")
    options: Mapping[str, str] = field(default_factory=dict)

    def rerun_command(self, *revision: str) -> list[str]:
        """Return the argument list that repeats this run for a revision, without ``--case`` and ``--where``.

        ``revision`` has the arguments that name the revision.
        """
        arguments = [*self.command, *revision]
        if self.backend != "cpu":
            arguments += ["--backend", self.backend]
        for name, value in self.options.items():
            arguments += ["-D", f"{name}={value}"]
        return arguments


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltRevision:
    """A revision, the state of each patch on it, and the builds of its sides in the order of the spec."""

    revision: Revision
    states: Sequence[PatchState]
    builds: Sequence[Build]


def revision_arguments(revision: Revision) -> tuple[str, str]:
    """Return the arguments that name a revision: the path of a checkout, or the name of any other."""
    origin = revision.origin
    return ("--checkout", str(origin.path)) if isinstance(origin, Folder) else ("--revision", revision.name)


@contextmanager
def open_block_quantiser(revision: Revision, spec: RunSpec) -> Iterator[BlockQuantiser]:
    """Yield the block quantiser of a spec, which quantises with the revision's own library in a child process.

    If the matrix needs no quantised blocks, nothing is built. Otherwise raises what building raises.
    """
    if not spec.matrix.needs_block_quantiser:
        yield BlockQuantiser()
        return
    # A library with sanitizers or with gcov makes the same blocks, but slowly.
    slow = {**sanitizer.OPTIONS, **coverage.options()}
    options = {name: value for name, value in spec.options.items() if name not in slow}
    made = build.build(workspace.workspace(revision), (), spec.backend, options=options)
    lock = threading.Lock()
    with LibraryQuantiser(made.folder) as quantiser:
        by_process = {os.getpid(): quantiser}

        def own() -> LibraryQuantiser:
            # A Preparer makes files in forks, and a fork cannot use the pipe of its parent's quantiser.
            if os.getpid() not in by_process:
                another = by_process[os.getpid()] = LibraryQuantiser(made.folder, threads=1)
                Finalize(another, another.close, exitpriority=0)
            return by_process[os.getpid()]

        def quantise(values: NDArray[np.float32], kind: str) -> NDArray[np.uint8]:
            with lock:  # several threads may make files
                return own().quantise(values, kind)

        def dequantise(blocks: NDArray[np.uint8], kind: str) -> NDArray[np.float32]:
            with lock:
                return own().dequantise(blocks, kind)

        yield replace(block_types(quantiser), quantise=quantise, dequantise=dequantise)


def block_types(quantiser: LibraryQuantiser) -> BlockQuantiser:
    """Return the types that a library can make, and that can be written to a file and read again.

    The library reads a type that the gguf package cannot read. The result has the other types that the library can make
    as left out, with the reasons. It cannot make files.
    """
    types: dict[str, int] = {}
    left_out: dict[str, str] = {}
    for name, info in list(quantiser.types().items()):
        if not gguf_types.can_write(name):
            left_out[name] = "the gguf package does not know the type"
        elif not gguf_types.can_read(name) and not _can_decode(quantiser, info):
            left_out[name] = "neither the gguf package nor the library can decode the type"
        else:
            types[name] = info.block
    return BlockQuantiser(types=types, left_out=left_out)


def _can_decode(quantiser: LibraryQuantiser, info: TypeInfo) -> bool:
    """Return whether a library can decode a type. If it crashes, the quantiser starts another child."""
    try:
        quantiser.dequantise(np.zeros((1, info.bytes), np.uint8), info.name)
    except LibraryUnusable:
        return False
    return True


def build_revisions(
    revisions: Sequence[Revision], patches: Sequence[Patch], specs: Sequence[RunSpec]
) -> list[BuiltRevision]:
    """Build the sides of several revisions, each of which has a spec.

    For the CPU, revisions are built at the same time: when a build waits for its longest file or for a download, the
    others use the processors. Builds for GPUs have hundreds of files that need much memory, so they are built in turn.
    Raises what ``build_revision`` raises, after the builds that were begun have ended.
    """
    together = _TOGETHER if all(spec.backend == "cpu" for spec in specs) else 1
    with ThreadPoolExecutor(together) as pool:
        return list(pool.map(lambda wanted, spec: build_revision(wanted, patches, spec), revisions, specs))


def build_revision(revision: Revision, patches: Sequence[Patch], spec: RunSpec) -> BuiltRevision:
    """Build the sides of a spec: the revision as it is, and with those of ``patches`` that apply to it.

    Raises what fetching, patching and building raise.
    """
    console.note(f"== {revision.name}: {revision.title}")
    tree = workspace.workspace(revision)
    states = find_states(tree, patches)
    applied = patches_to_apply(states)
    builds = [
        build.build(tree, applied if label == "patched" else (), spec.backend, options=spec.options)
        for label in spec.sides
    ]
    return BuiltRevision(revision=revision, states=states, builds=builds)


def build_sides(
    revision: Revision, patches: Sequence[Patch], spec: RunSpec, block_quantiser: BlockQuantiser
) -> list[BuildUnderTest]:
    """Build the sides of a revision as ``build_revision`` does, and return them with their cases."""
    return sides_under_test(build_revision(revision, patches, spec), spec, block_quantiser)


def sides_under_test(
    built: BuiltRevision, spec: RunSpec, block_quantiser: BlockQuantiser
) -> list[BuildUnderTest]:
    """Print the states of the patches on a built revision, and return its sides with their cases."""
    revision = built.revision
    names: dict[State, list[str]] = {}
    for state in built.states:
        names.setdefault(state.state, []).append(state.patch.name)
    for of_patches, listed in names.items():
        console.note(f"   {revision.name}: patches, {of_patches.value}: {', '.join(listed)}")
    builds = []
    for label, made in zip(spec.sides, built.builds, strict=True):
        again = spec.rerun_command(*revision_arguments(revision))
        found = build_under_test(
            made,
            label,
            spec,
            block_quantiser,
            patched=label == "patched",
            again=again,
            lacks=dict(revision.lacks),
        )
        known = {state.patch.name: state.state.value for state in built.states}
        builds.append(replace(found, side=replace(found.side, build={**made.record, "states": known})))
    return builds


def build_under_test(
    made: Build,
    label: str,
    spec: RunSpec,
    block_quantiser: BlockQuantiser,
    *,
    patched: bool,
    again: Sequence[str],
    lacks: Mapping[str, str] = MappingProxyType({}),
) -> BuildUnderTest:
    """Pair a build with the cases it must run.

    ``again`` is the command that reruns this side only. ``lacks`` maps features that the revision does not have to the
    reasons.
    """
    declared = header.read(made.header)
    modes = apply_modes(declared)
    missing = {flag: reason for flag in FLAGS if (reason := context_options.why_missing(declared, flag))}
    generation = made.record["generation"]
    cases = select(spec.matrix.cases(generation, modes, block_quantiser), spec.select, spec.where)
    tried = {case.shot.base for case in cases}
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
            # To write and hash all models of the families takes minutes and 25 GB.
            bases={base.name: base.sha256 for base in spec.matrix.bases[generation] if base in tried},
        ),
        build=made,
        cases=cases,
        repeat=quoted([*again, "--case"]),
        names_base=len(spec.matrix.bases[generation]) > 1,
        lacks={**missing, **lacks},
    )
