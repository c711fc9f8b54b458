"""Pictures of a run: pixels, their hash, their PNG file, and all of them by hash, decoded when they are needed."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, MutableMapping
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sdcpp.errors import FileInvalid

#: A picture [height, width, channels] of grey levels from 0 to 255.
Pixels = NDArray[np.uint8]


def digest(pixels: Pixels) -> str:
    """Return the SHA-256 of a picture's shape and pixels ([height, width, channels], uint8)."""
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def png(pixels: Pixels) -> bytes:
    """Return a picture as a PNG file."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=False, compress_level=6)
    return buffer.getvalue()


def base64_png(pixels: Pixels) -> str:
    """Return a picture as a PNG file in base64, as a records file holds it."""
    return base64.b64encode(png(pixels)).decode()


class Pictures(MutableMapping[str, Pixels]):
    """Pictures by their hash. Those of a records file are decoded when they are first asked for.

    Most readers of records need few pictures or none, and decoding takes most of the time of reading.
    """

    def __init__(self) -> None:
        self._held: dict[str, Pixels | str] = {}

    def add_png(self, name: str, encoded: str) -> None:
        """Add a picture as a PNG file in base64. Raises TypeError for anything but text."""
        if not isinstance(encoded, str):
            raise TypeError("a picture is a PNG file in base64")
        self._held[name] = encoded

    def add(self, others: Mapping[str, Pixels]) -> None:
        """Add pictures; those of another ``Pictures`` are not decoded for that."""
        self._held.update(others._held if isinstance(others, Pictures) else others)

    def __getitem__(self, name: str) -> Pixels:
        """Return a picture. Raises KeyError, and FileInvalid for a PNG file that cannot be decoded."""
        held = self._held[name]
        if isinstance(held, str):
            held = self._held[name] = _decoded(name, held)
        return held

    def __setitem__(self, name: str, pixels: Pixels) -> None:
        self._held[name] = pixels

    def __delitem__(self, name: str) -> None:
        del self._held[name]

    def __contains__(self, name: object) -> bool:
        return name in self._held

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def __eq__(self, other: object) -> bool:
        """Return whether the hashes and the pixels are the same."""
        if not isinstance(other, Mapping):
            return NotImplemented
        return self.keys() == other.keys() and all(np.array_equal(self[name], other[name]) for name in self)

    __hash__ = None  # type: ignore[assignment]


def _decoded(name: str, encoded: str) -> Pixels:
    try:
        with Image.open(BytesIO(base64.b64decode(encoded))) as image:
            return np.asarray(image)
    except (ValueError, OSError) as error:
        raise FileInvalid(
            f"a picture cannot be decoded ({error})", name, "give a records.jsonl file that verify wrote"
        ) from error
