"""The use of an adapter file in a generation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar


class AnyFile(Protocol):
    """A file that a generation can use as an adapter. It need not be a valid adapter."""

    @property
    def name(self) -> str:
        """The name in records, unique in the file's folder."""

    @property
    def folder(self) -> Path:
        """The folder of adapters that the context must use."""

    @property
    def path(self) -> Path:
        """The path of the file, which exists after ``make`` has run."""

    def make(self) -> Path:
        """Write the file if it does not exist, and return its path."""


F_co = TypeVar("F_co", bound=AnyFile, covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Use(Generic[F_co]):
    """An adapter file that a generation uses, and its multiplier.

    ``is_high_noise`` is explained in ``sdcpp.binding.api.interface.Lora``.
    """

    file: F_co
    multiplier: float = 1.0
    is_high_noise: bool = False

    @property
    def name(self) -> str:
        """The name in records: ``FILE@MULTIPLIER``, with a mark for a high-noise adapter."""
        return f"{'high-noise-' if self.is_high_noise else ''}{self.file.name}@{self.multiplier:g}"
