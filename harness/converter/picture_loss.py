"""Measure the effect error of adapter files in pictures that a library makes."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
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
from harness.text import did_you_mean
from sdcpp.binding import build_folder
from sdcpp.binding.build_folder import Build
from sdcpp.errors import FixtureInvalid, LibraryUnusable
from sdcpp.process import cores


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
            f"choose one of {', '.join(tiny_models.BASES)}{did_you_mean(name, tiny_models.BASES)}",
        ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """The pictures of a base model with each of several files, and without an adapter under None.

    ``outcomes`` has the reason for each that was not made.
    """

    base: Base
    made: Mapping[Path | None, Pixels]
    outcomes: Mapping[Path | None, str]

    def effects(self, reference: Path, files: Sequence[Path]) -> list[Effect]:
        """Return the effect error of each of ``files`` compared with the file ``reference``.

        Raises LibraryUnusable if there is no picture without an adapter or with the reference, or if the reference has
        no effect.
        """
        for needed in (None, reference):
            if needed not in self.made:
                raise LibraryUnusable(
                    f"no picture was made ({self.outcomes[needed]})",
                    needed or self.base.name,
                    "try another build",
                )
        wanted, without = self.made[reference], self.made[None]
        if oracle.rms(wanted, without) == 0:
            raise LibraryUnusable(
                "the library ignored the adapter", reference, f"check that the adapter fits {self.base.name}"
            )
        return [
            Effect(
                path=path,
                error=oracle.effect_error(self.made[path], wanted, without) if path in self.made else None,
                outcome=self.outcomes.get(path, ""),
            )
            for path in files
        ]


def pictures(folder: Path, base: Base, files: Sequence[Path], mode: str = "at_runtime") -> Pictures:
    """Let the build in ``folder`` make the pictures of ``base`` with ``files`` in apply mode ``mode``."""
    build = build_folder.read(folder)
    shots: dict[Path | None, Shot] = {None: Shot(base=base, mode=mode)}
    shots |= {
        path: Shot(base=base, mode=mode, sequence=((Use(file=ExistingFile(path=path)),),)) for path in files
    }
    records = record_shots(build, list(shots.values()))
    seen = {path: records.observations[build.identity, shot.name] for path, shot in shots.items()}
    return Pictures(
        base=base,
        made={path: records.pictures[one.picture] for path, one in seen.items() if one.picture},
        outcomes={path: one.text or one.outcome for path, one in seen.items() if not one.picture},
    )


def effects(
    folder: Path, base: Base, reference: Path, files: Sequence[Path], mode: str = "at_runtime"
) -> list[Effect]:
    """Return ``Pictures.effects`` for pictures that the build in ``folder`` makes; raises what that raises."""
    return pictures(folder, base, [reference, *files], mode).effects(reference, files)


def record_shots(build: Build, shots: Sequence[Shot]) -> record.Records:
    """Make shots with a build, several at a time if it is for the processor, and return the records."""
    jobs, threads = pool.worker_count(cores()) if build.backend == "cpu" else (1, 2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.jsonl"
        with record.Writer(path) as writer:
            writer.run(record.Run(plan="", title="", command="", machine={}, started="", project=""))
            pool.run_shots(build, build.backend, shots, writer, jobs=jobs, threads=threads)
        return record.read(path)
