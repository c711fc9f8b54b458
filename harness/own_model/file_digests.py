"""The SHA-256 of large files, which are hashed once: the cache remembers them by path, size and time of change."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

from harness.own_model import reference
from sdcpp import atomic_write, cache
from sdcpp.errors import Error
from sdcpp.waiting_line import counted

#: The file of the cache that remembers.
FILE = "digests.json"
#: The bytes that are read at a time.
_PIECE = 8 << 20
#: What this process knows, by the path of the file that remembers and by stamp.
_known: dict[Path, dict[str, str]] = {}


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal text.

    It is read only if it is not remembered. Raises OSError if the file cannot be read.
    """
    memory = cache.root() / FILE
    if memory not in _known:
        _known[memory] = _read(memory)
    known = _known[memory]
    stamp = reference.stamp(path)
    if stamp not in known:
        known[stamp] = _hashed(path)
        _remember(memory, known)
    return known[stamp]


def _hashed(path: Path) -> str:
    digest, total, done = hashlib.sha256(), path.stat().st_size, 0
    with path.open("rb") as file, counted(f"hashing {path.name}", total) as progress:
        while piece := file.read(_PIECE):
            digest.update(piece)
            done += len(piece)
            progress(done)
    return digest.hexdigest()


def _read(path: Path) -> dict[str, str]:
    """Return what is remembered; nothing if the file is missing or damaged."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return {key: value for key, value in found.items() if isinstance(value, str)}
    return {}


def _remember(path: Path, known: dict[str, str]) -> None:
    """Write what is known, with what another process has added. A cache that cannot be written remembers nothing."""
    with contextlib.suppress(Error), cache.lock(path):
        atomic_write.write(path, json.dumps({**_read(path), **known}, indent=1) + "\n")
