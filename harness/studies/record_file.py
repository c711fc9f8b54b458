"""Write and read the record of a study that a nox session makes, as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sdcpp import atomic_write
from sdcpp.errors import FileInvalid, NothingTried

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")


def write(found: DataclassInstance, path: Path) -> None:
    """Write a study, which is a dataclass."""
    atomic_write.write(path, json.dumps(asdict(found), indent=1) + "\n")


def read(path: Path, make: Callable[[dict[str, Any]], T], *, command: str) -> T:
    """Return the study that ``make`` makes of what ``write`` wrote; ``command`` records it.

    Raises NothingTried if there is no record, and FileInvalid if it is damaged.
    """
    if not path.exists():
        raise NothingTried("no study is recorded", path, f"run {command}, which makes one")
    try:
        return make(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, KeyError) as error:
        raise FileInvalid("the record cannot be read", path, f"run {command} again") from error
