"""Measure the effect error of adapter files in pictures that a library makes."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.adapters.use import Use
from harness.cases.case import Shot
from harness.judging import oracle
from harness.models import tiny_models
from harness.models.base_model import Base
from harness.records import record
from harness.records.pictures import Pixels
from harness.running import pool
from sdcpp.binding import build_folder
from sdcpp.binding.build_folder import Build
from sdcpp.errors import FixtureInvalid, LibraryUnusable


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingFile:
    """An existing adapter file, for ``harness.cases.case.Shot``."""

    path: Path

    @property
    def name(self) -> str:
        """The name in records. It differs for files of the same name in different folders."""
        return f"{hashlib.sha256(str(self.path.resolve()).encode()).hexdigest()[:8]}-{self.path.name}"

    @property
    def folder(self) -> Path:
        """The folder of adapters that the context must use."""
        return self.path.resolve().parent

    def make(self) -> Path:
        """Return the path of the file."""
        return self.path.resolve()


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """The effect error of a file in pictures, or None with the reason in ``outcome`` if it made no picture."""

    path: Path
    error: float | None
    outcome: str


def base_named(name: str) -> Base:
    """Return the base model of this name in ``tiny_models``; raises FixtureInvalid if there is none."""
    try:
        return tiny_models.BASES[name]
    except KeyError:
        raise FixtureInvalid(
            "no such base model for pictures",
            name,
            f"choose one of {', '.join(tiny_models.BASES)}",
        ) from None


def effects(
    folder: Path, base: Base, reference: Path, files: Sequence[Path], mode: str = "at_runtime"
) -> list[Effect]:
    """Return the effect error of each of ``files`` compared with the file ``reference``.

    The build in ``folder`` makes the pictures of ``base`` in apply mode ``mode``. Raises LibraryUnusable if it makes no
    picture without an adapter or with the reference, or if the reference has no effect.
    """
    build = build_folder.read(folder)
    shots: dict[Path | None, Shot] = {None: Shot(base=base, mode=mode)}
    shots |= {
        path: Shot(base=base, mode=mode, sequence=((Use(file=ExistingFile(path=path)),),))
        for path in (reference, *files)
    }
    records = record_shots(build, list(shots.values()))
    pictures: dict[Path | None, Pixels] = {}
    outcomes: dict[Path | None, str] = {}
    for path, shot in shots.items():
        seen = records.observations[build.identity, shot.name]
        outcomes[path] = "" if seen.picture else seen.text or seen.outcome
        if seen.picture:
            pictures[path] = records.pictures[seen.picture]
    for needed in (None, reference):
        if needed not in pictures:
            raise LibraryUnusable(
                f"no picture was made ({outcomes[needed]})", needed or base.name, "try another build"
            )
    if oracle.rms(pictures[reference], pictures[None]) == 0:
        raise LibraryUnusable(
            "the library ignored the adapter", reference, f"check that the adapter fits {base.name}"
        )
    return [
        Effect(
            path=path,
            error=oracle.effect_error(pictures[path], pictures[reference], pictures[None])
            if path in pictures
            else None,
            outcome=outcomes[path],
        )
        for path in files
    ]


def record_shots(build: Build, shots: Sequence[Shot]) -> record.Records:
    """Make shots with a build, in a worker process, and return the records."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.jsonl"
        with record.Writer(path) as writer:
            writer.run(record.Run(plan="", title="", command="", machine={}, started="", project=""))
            pool.run_shots(build, build.backend, shots, writer, jobs=1, threads=2)
        return record.read(path)
