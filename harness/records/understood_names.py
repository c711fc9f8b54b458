"""Which names of LoRAs a build of the library understands: the result of ``sdcpp study names``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sdcpp import atomic_write, project

RESULTS = project.ROOT / "results" / "names.json"
#: The outcome of a name that leads to its layer; the others are explained in ``harness.studies.names.verdict``.
RIGHT = "right"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The names of one trainer for one version: how many lead where, an example, and the first that leads elsewhere.

    ``version`` is the title of the version. ``text_encoder`` names the text encoder whose layers were asked for, and is
    "" for those of the diffusion model. ``wrong`` is empty if every name leads to its layer; otherwise it has a
    name, and ``leads_to`` what the library makes of it.
    """

    version: str
    trainer: str
    counts: Mapping[str, int]
    example: str
    wrong: str = ""
    leads_to: str = ""
    text_encoder: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells the rows of a build apart."""
        return self.version, self.trainer, self.text_encoder

    @property
    def right(self) -> int:
        """How many names lead to their layer."""
        return self.counts.get(RIGHT, 0)

    @property
    def total(self) -> int:
        """How many names there are."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class NamesOfBuild:
    """The rows of one build. ``absent`` are the titles of versions that the revision does not have."""

    revision: str
    state: str
    date: str
    rows: Sequence[Row]
    absent: Sequence[str] = field(default_factory=tuple)


def write(builds: Sequence[NamesOfBuild], path: Path = RESULTS) -> Path:
    """Write the results of builds and return the path."""
    text = json.dumps([asdict(build) for build in builds], indent=1, ensure_ascii=False)
    atomic_write.write(path, text + "\n")
    return path


def read(path: Path = RESULTS) -> list[NamesOfBuild]:
    """Return the results that are kept: none outside a checkout of the project."""
    if not path.exists():
        return []
    return [
        NamesOfBuild(**{**build, "rows": [Row(**row) for row in build["rows"]]})
        for build in json.loads(path.read_text(encoding="utf-8"))
    ]
