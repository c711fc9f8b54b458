"""Pictures for a page: data URIs, each picture once, and differences amplified so that they can be seen."""

from __future__ import annotations

import base64

import numpy as np

from harness.records.pictures import Pixels, png
from harness.records.record import Records

#: Factors by which a difference may be multiplied.
FACTORS = (200, 100, 50, 20, 10, 5, 2, 1)


def uri(pixels: Pixels) -> str:
    """Return a picture as the address of an image that holds it, as PNG."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode()


def difference(got: Pixels, wanted: Pixels) -> tuple[Pixels, int, int]:
    """Return |got - wanted| times a factor, the factor, and the largest difference in grey levels.

    Both pictures are uint8 of one shape. The factor is the largest of ``FACTORS`` that clips at most one in a
    hundred of the values that differ; two identical pictures give a black one, the factor 1 and 0.
    """
    gap = np.abs(got.astype(np.int16) - wanted.astype(np.int16))
    most = int(gap.max(initial=0))
    high = float(np.percentile(gap[gap > 0], 99)) if most else 0.0
    factor = next(factor for factor in FACTORS if factor * high <= 255) if most else 1
    return np.minimum(gap * factor, 255).astype(np.uint8), factor, most


class Album:
    """The pictures of a page. ``uris`` holds each once; what is handed out are places in it."""

    def __init__(self, records: Records, budget: int) -> None:
        self.uris: list[str] = []
        self._records, self._budget = records, budget
        self._places: dict[str, int] = {}
        self._stored: dict[str, int] = {}
        self._differences: dict[tuple[str, str], tuple[int, int, int]] = {}

    @property
    def full(self) -> bool:
        """Whether the pictures take ``budget`` characters or more; only what must be shown is added then."""
        return self._budget <= 0

    def add(self, pictures: dict[str, str]) -> dict[str, int]:
        """Add a cell's pictures and return the place of each, with "difference", "factor" and "most" added.

        A picture that the records do not hold is left out.
        """
        held = {role: name for role, name in pictures.items() if name in self._records.pictures}
        found = {role: self._place(name) for role, name in held.items()}
        got, wanted = held.get("got"), held.get("wanted")
        if got and wanted:
            found |= self._difference(got, wanted)
        return found

    def _place(self, name: str) -> int:
        if name not in self._places:
            self._places[name] = self._store(self._records.pictures[name])
        return self._places[name]

    def _difference(self, got: str, wanted: str) -> dict[str, int]:
        first, second = self._records.pictures[got], self._records.pictures[wanted]
        if first.shape != second.shape:
            return {}
        if (got, wanted) not in self._differences:
            pixels, factor, most = difference(first, second)
            self._differences[got, wanted] = (self._store(pixels), factor, most)
        place, factor, most = self._differences[got, wanted]
        return {"difference": place, "factor": factor, "most": most}

    def _store(self, pixels: Pixels) -> int:
        found = uri(pixels)
        if found not in self._stored:
            self._stored[found] = len(self.uris)
            self.uris.append(found)
            self._budget -= len(found)
        return self._stored[found]
