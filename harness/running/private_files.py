"""Copies of model files for one context, and the check that the library does not change them.

Imported by workers, so it imports nothing heavy.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path


class PrivateFiles:
    """Copies of files by role in a temporary folder, which ``close`` removes.

    A library that maps a file into memory may write to it. With copies it cannot spoil the base model of other shots.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="sdcpp-mapped-")
        self.paths = {role: Path(self._folder.name, role + path.suffix) for role, path in files.items()}
        for role, path in files.items():
            shutil.copyfile(path, self.paths[role])
        self._digests = {path: _sha256(path) for path in self.paths.values()}

    def changed(self) -> list[str]:
        """Return the names of the copies that are not what they were."""
        return [path.name for path, digest in self._digests.items() if _sha256(path) != digest]

    def close(self) -> None:
        """Remove the copies."""
        self._folder.cleanup()


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
