"""Pictures for an HTML page: as data URIs, each picture once, with visibly amplified differences."""

from __future__ import annotations

import base64

import numpy as np

from harness.records.pictures import Pixels, png
from harness.records.record import Records

#: The factors by which a difference may be multiplied.
FACTORS = (200, 100, 50, 20, 10, 5, 2, 1)


def data_uri(pixels: Pixels) -> str:
    """Return a picture (uint8, [height, width, 3]) as a data URI of a PNG file."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode()


def difference(got: Pixels, wanted: Pixels) -> tuple[Pixels, int, int]:
    """Return |got - wanted| multiplied by a factor, the factor, and the largest difference in grey levels.

    Both pictures are uint8 and have the same shape. The factor is the largest of ``FACTORS`` that clips at most 1 % of
    the differing values. For equal pictures the result is a black picture, 1 and 0.
    """
    differences = np.abs(got.astype(np.int16) - wanted.astype(np.int16))
    largest = int(differences.max(initial=0))
    percentile = float(np.percentile(differences[differences > 0], 99)) if largest else 0.0
    factor = next(factor for factor in FACTORS if factor * percentile <= 255) if largest else 1
    return np.minimum(differences * factor, 255).astype(np.uint8), factor, largest


class Album:
    """The pictures of a page. ``uris`` has each picture once; cells refer to pictures by their index in it."""

    def __init__(self, records: Records, budget: int) -> None:
        self.uris: list[str] = []
        self._records, self._budget = records, budget
        self._indices: dict[str, int] = {}
        self._stored: dict[str, int] = {}
        self._differences: dict[tuple[str, str], tuple[int, int, int]] = {}

    @property
    def full(self) -> bool:
        """Whether the URIs have ``budget`` characters or more. A caller may still add pictures."""
        return self._budget <= 0

    def add(self, pictures: dict[str, str]) -> dict[str, int]:
        """Add the pictures of a cell, given as hashes by role, and return their indices by role.

        If there are pictures "got" and "wanted", the result also has the index of their "difference", its "factor" and
        the largest difference in grey levels, "largest". Pictures that are not in the records are left out.
        """
        present = {role: digest for role, digest in pictures.items() if digest in self._records.pictures}
        indices = {role: self._index(digest) for role, digest in present.items()}
        got, wanted = present.get("got"), present.get("wanted")
        if got and wanted:
            indices |= self._difference(got, wanted)
        return indices

    def _index(self, digest: str) -> int:
        if digest not in self._indices:
            self._indices[digest] = self._store(self._records.pictures[digest])
        return self._indices[digest]

    def _difference(self, got: str, wanted: str) -> dict[str, int]:
        first, second = self._records.pictures[got], self._records.pictures[wanted]
        if first.shape != second.shape:
            return {}
        if (got, wanted) not in self._differences:
            pixels, factor, largest = difference(first, second)
            self._differences[got, wanted] = (self._store(pixels), factor, largest)
        index, factor, largest = self._differences[got, wanted]
        return {"difference": index, "factor": factor, "largest": largest}

    def _store(self, pixels: Pixels) -> int:
        uri = data_uri(pixels)
        if uri not in self._stored:
            self._stored[uri] = len(self.uris)
            self.uris.append(uri)
            self._budget -= len(uri)
        return self._stored[uri]
