"""The record of a measurement of what applying costs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.studies.applying.measurement import Cost, Picture
from harness.studies.applying.peer import PeerCost
from sdcpp import atomic_write
from sdcpp.errors import NothingTried

#: A step without an adapter is the same work beside every adapter. If the longest takes more than so many times as
#: long as the shortest, other work disturbed the measurement. Fewer steps than these say nothing.
STEADY, FEW = 1.25, 4
#: With more processes for each core than these before a measurement of few steps, its seconds mean little.
BUSY = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyStudy:
    """The costs on one backend, with the command, the machine and the date (UTC).

    ``layers`` is the number of layers that each adapter changes. ``cores`` are those of the machine. ``load`` is the
    number of processes that wanted a core before the measurement, or None if the system does not say. ``threads`` is
    the number of threads of the library and of diffusers. ``peers`` are what the F16 adapters cost in diffusers, if it
    was measured. ``floors`` has the seconds that PyTorch takes to "load" and to "merge" the F16 adapter of a rank, by
    rank as text. It is empty if PyTorch is missing.
    """

    command: str
    revision: str
    backend: str
    device: str
    cores: int
    date: str
    base: str
    layers: int
    picture: Picture
    costs: Sequence[Cost]
    floors: Mapping[str, Mapping[str, float]]
    threads: int
    load: float | None = None
    peers: Sequence[PeerCost] = ()

    @property
    def busy(self) -> bool:
        """Whether other work disturbed the measurement, so that the seconds mean little.

        The steps without an adapter show it. The load alone does not: other work may have had cores of its own.
        """
        steps = [cost.step for cost in self.costs if not cost.failure]
        if len(steps) >= FEW:
            return max(steps) > STEADY * min(steps)
        return self.load is not None and self.load > BUSY * self.cores

    @property
    def question(self) -> tuple[str, ...]:
        """What a later measurement must have in common with this one to replace it."""
        return self.base, self.backend, self.revision, self.device

    def replaces(self, other: ApplyStudy) -> bool:
        """Whether a record keeps this study only: of the same question, or if the other's machine was busy.

        A study of a busy machine is replaced by any of an idle one with the same base model and backend.
        """
        same = (self.base, self.backend) == (other.base, other.backend)
        return self.question == other.question or (same and other.busy and not self.busy)


def write(studies: Sequence[ApplyStudy], path: Path) -> None:
    """Write studies as JSON."""
    atomic_write.write(path, json.dumps([asdict(study) for study in studies], indent=1) + "\n")


def read(path: Path) -> list[ApplyStudy]:
    """Return the studies that ``write`` wrote. Raises NothingTried if there is no such file."""
    if not path.exists():
        raise NothingTried(
            "no measurement is recorded", path, "run sdcpp bench --apply --write-docs, which measures"
        )
    return [
        ApplyStudy(
            **{
                **entry,
                "picture": Picture(**entry["picture"]),
                "costs": [Cost(**cost) for cost in entry["costs"]],
                "peers": [PeerCost(**cost) for cost in entry.get("peers", ())],
            }
        )
        for entry in json.loads(path.read_text(encoding="utf-8"))
    ]


def add(measured: ApplyStudy, path: Path) -> list[ApplyStudy]:
    """Add a study to a record, in place of those that it replaces, and return all studies of the record."""
    known = read(path) if path.exists() else []
    studies = [study for study in known if not measured.replaces(study)] + [measured]
    studies.sort(key=lambda study: study.question)
    write(studies, path)
    return studies
