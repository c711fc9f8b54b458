"""A file named in a generation, whatever it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar


class AnyFile(Protocol):
    """What can be named in a generation: ``name`` tells it from the others of its ``folder``."""

    @property
    def name(self) -> str:
        """Its name in records."""

    @property
    def folder(self) -> Path:
        """The folder that the context is given."""

    @property
    def path(self) -> Path:
        """Where it is once ``make`` has run."""

    def make(self) -> Path:
        """Write it unless it is there, and return its path."""


F_co = TypeVar("F_co", bound=AnyFile, covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Use(Generic[F_co]):
    """An adapter file named in a generation, and its multiplier."""

    file: F_co
    multiplier: float = 1.0
