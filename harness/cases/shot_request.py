"""What a worker is asked to do for one shot. Imported by workers, so it imports nothing heavy."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdcpp.binding.api.interface import Lora, Picture


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotRequest:
    """The context to open and the pictures to make in it; the last picture is the answer.

    ``files`` maps members of ``api.ModelFiles`` to paths. ``lora_dir`` is the folder that holds the adapters.
    ``fresh`` asks for a context in which nothing was generated yet. ``sequence`` has the adapters of each generation,
    ``generation`` the other arguments of ``api.Generation``. With ``init_image`` the pictures are img2img, and
    ``ref_images`` are pictures that the model edits. ``flags`` are flags of the context. So many ``contexts`` are open
    at the same time, and generate the pictures in turn. ``counters`` is the folder in which a library that counts its
    lines writes what the generations reach; "" stands for the folder of the environment (``sdcpp.building.coverage``).
    """

    files: Mapping[str, Path]
    mode: str
    lora_dir: Path
    fresh: bool
    sequence: tuple[tuple[Lora, ...], ...]
    generation: Mapping[str, Any]
    init_image: Picture | None = None
    ref_images: tuple[Picture, ...] = ()
    flags: tuple[str, ...] = ()
    contexts: int = 1
    counters: str = ""

    @property
    def options(self) -> dict[str, bool]:
        """The options for ``Api.open``. A context encodes pictures only for img2img and for reference pictures."""
        encoder = {"vae_decode_only": False} if self.init_image or self.ref_images else {}
        return {**encoder, **dict.fromkeys(self.flags, True)}

    def line(self) -> bytes:
        """Return the request as one line of JSON."""
        content = {
            "files": {role: str(path) for role, path in self.files.items()},
            "mode": self.mode,
            "lora_dir": str(self.lora_dir),
            "fresh": self.fresh,
            "sequence": [
                [[str(lora.path), lora.multiplier, lora.is_high_noise] for lora in loras]
                for loras in self.sequence
            ],
            "generation": dict(self.generation),
            "init_image": picture_to_json(self.init_image) if self.init_image else None,
            "ref_images": [picture_to_json(picture) for picture in self.ref_images],
            "flags": self.flags,
            "contexts": self.contexts,
            "counters": self.counters,
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
                tuple(
                    Lora(path=Path(path), multiplier=multiplier, is_high_noise=is_high_noise)
                    for path, multiplier, is_high_noise in loras
                )
                for loras in content["sequence"]
            ),
            generation=content["generation"],
            init_image=picture_from_json(content["init_image"]) if content["init_image"] else None,
            ref_images=tuple(map(picture_from_json, content["ref_images"])),
            flags=tuple(content["flags"]),
            contexts=content["contexts"],
            counters=content["counters"],
        )


def picture_to_json(picture: Picture) -> dict[str, Any]:
    """Return a picture as values that JSON has."""
    return {
        "width": picture.width,
        "height": picture.height,
        "channels": picture.channels,
        "data": base64.b64encode(picture.data).decode(),
    }


def picture_from_json(content: Mapping[str, Any]) -> Picture:
    """Return the picture that ``picture_to_json`` was given."""
    return Picture(**{**content, "data": base64.b64decode(content["data"])})
