"""What a worker is asked to do for one shot. Imported by workers, so it imports nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdcpp.binding.api.interface import Lora


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotRequest:
    """The context to open and the pictures to make in it; the last picture is the answer.

    ``files`` maps members of ``api.ModelFiles`` to paths. ``lora_dir`` is the folder that holds the adapters.
    ``fresh`` asks for a context in which nothing was generated yet. ``sequence`` has the adapters of each generation,
    ``generation`` the other arguments of ``api.Generation``.
    """

    files: Mapping[str, Path]
    mode: str
    lora_dir: Path
    fresh: bool
    sequence: tuple[tuple[Lora, ...], ...]
    generation: Mapping[str, Any]

    def line(self) -> bytes:
        """Return the request as one line of JSON."""
        content = {
            "files": {role: str(path) for role, path in self.files.items()},
            "mode": self.mode,
            "lora_dir": str(self.lora_dir),
            "fresh": self.fresh,
            "sequence": [[[str(lora.path), lora.multiplier] for lora in loras] for loras in self.sequence],
            "generation": dict(self.generation),
        }
        return json.dumps(content).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> ShotRequest:
        """Return the request that ``line`` made."""
        content = json.loads(line)
        return cls(
            files={role: Path(path) for role, path in content["files"].items()},
            mode=content["mode"],
            lora_dir=Path(content["lora_dir"]),
            fresh=content["fresh"],
            sequence=tuple(
                tuple(Lora(path=Path(path), multiplier=multiplier) for path, multiplier in loras)
                for loras in content["sequence"]
            ),
            generation=content["generation"],
        )
