"""What a loss in weights does to pictures: the effect error of one file against another, through a library."""

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
    """A file that is there already, for ``harness.cases.case.Shot``."""

    path: Path

    @property
    def name(self) -> str:
        """A name that tells files of one name in different folders apart."""
        return f"{hashlib.sha256(str(self.path.resolve()).encode()).hexdigest()[:8]}-{self.path.name}"

    @property
    def folder(self) -> Path:
        """The folder that the context is given."""
        return self.path.resolve().parent

    def make(self) -> Path:
        """Return the path."""
        return self.path.resolve()


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A file's pictures against those of the right file: ``error`` is the effect error, ``outcome`` what went wrong."""

    path: Path
    error: float | None
    outcome: str


def base_named(name: str) -> Base:
    """Return a base model by name; raises FixtureInvalid."""
    try:
        return tiny_models.BASES[name]
    except KeyError:
        raise FixtureInvalid(
            "pictures are made with a generated base model",
            name,
            f"choose one of {', '.join(tiny_models.BASES)}",
        ) from None


def effects(
    folder: Path, base: Base, right: Path, others: Sequence[Path], mode: str = "at_runtime"
) -> list[Effect]:
    """Return the effect error of ``others`` against ``right`` in pictures made by the build in ``folder``.

    Raises LibraryUnusable if the pictures without an adapter and with the right one cannot be made.
    """
    made = build_folder.read(folder)
    shots: dict[Path | None, Shot] = {None: Shot(base=base, mode=mode)}
    shots |= {
        path: Shot(base=base, mode=mode, sequence=((Use(file=ExistingFile(path=path)),),))
        for path in (right, *others)
    }
    records = observed(made, list(shots.values()))
    pictures: dict[Path | None, Pixels] = {}
    outcomes: dict[Path | None, str] = {}
    for path, shot in shots.items():
        seen = records.observations[made.identity, shot.name]
        outcomes[path] = "" if seen.picture else seen.text or seen.outcome
        if seen.picture:
            pictures[path] = records.pictures[seen.picture]
    for needed in (None, right):
        if needed not in pictures:
            raise LibraryUnusable(
                f"no picture was made ({outcomes[needed]})", needed or base.name, "try another build"
            )
    if oracle.rms(pictures[right], pictures[None]) == 0:
        raise LibraryUnusable("the library ignored the adapter", right, f"does it fit {base.name}?")
    return [
        Effect(
            path=path,
            error=oracle.effect_error(pictures[path], pictures[right], pictures[None])
            if path in pictures
            else None,
            outcome=outcomes[path],
        )
        for path in others
    ]


def observed(made: Build, shots: Sequence[Shot]) -> record.Records:
    """Return the records of shots made by a build."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.jsonl"
        with record.Writer(path) as writer:
            writer.run(record.Run(plan="", title="", command="", machine={}, started="", project=""))
            pool.run_shots(made, made.backend, shots, writer, jobs=1, threads=2)
        return record.read(path)
