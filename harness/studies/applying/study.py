"""The record of a measurement of what applying costs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.studies.applying.measurement import Cost, Picture
from sdcpp import atomic_write


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyStudy:
    """The costs on one backend, with the command, the machine and the date (UTC).

    ``layers`` is the number of layers that each adapter changes. ``floors`` has the seconds that PyTorch takes to
    "load" and to "merge" the F16 adapter of a rank, by rank as text. It is empty if PyTorch is missing.
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


def write(studies: Sequence[ApplyStudy], path: Path) -> None:
    """Write studies as JSON."""
    atomic_write.write(path, json.dumps([asdict(study) for study in studies], indent=1) + "\n")


def read(path: Path) -> list[ApplyStudy]:
    """Return the studies that ``write`` wrote."""
    return [
        ApplyStudy(
            **{
                **entry,
                "picture": Picture(**entry["picture"]),
                "costs": [Cost(**cost) for cost in entry["costs"]],
            }
        )
        for entry in json.loads(path.read_text(encoding="utf-8"))
    ]
