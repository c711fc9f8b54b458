"""A finished build in its folder: what whoever only calls it has to know."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdcpp.errors import LayoutMismatch, LibraryUnusable

RECORD, TABLE, HEADER = "build.json", "abi.json", "stable-diffusion.h"


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A finished build in its folder; ``record`` is its build.json."""

    identity: str
    folder: Path
    library: Path
    header: Path
    record: Mapping[str, Any]

    @property
    def table(self) -> Path:
        """Where the compiler's ABI table of the header lies."""
        return self.folder / TABLE

    @property
    def backend(self) -> str:
        """The backend it was built for."""
        return str(self.record["backend"])

    def abi(self) -> dict[str, Any]:
        """Return the compiler's table of the header; raises LayoutMismatch if it cannot be read."""
        try:
            found: dict[str, Any] = json.loads(self.table.read_text(encoding="utf-8"))
            if "enumerators" not in found:
                raise ValueError("it lists no enumerators")
        except (OSError, ValueError, TypeError) as error:
            raise LayoutMismatch(
                f"the compiler's table cannot be read ({error})",
                self.table,
                "remove the folder and build again",
            ) from error
        return found

    def opened(self) -> ctypes.CDLL:
        """Return the library loaded into this process, nothing of it bound; raises LibraryUnusable."""
        try:
            # Local symbols: another ggml in this process must not be mixed up with this one.
            return ctypes.CDLL(os.fspath(self.library), mode=getattr(ctypes, "RTLD_LOCAL", 0))
        except OSError as error:
            raise LibraryUnusable(
                f"library cannot be loaded ({error})",
                self.library,
                "build it on this machine, or install the library that the message names",
            ) from error


def read(folder: Path) -> Build:
    """Return the build that lies in a folder; raises LibraryUnusable unless it is complete."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        library = folder / record["library"]
        build = Build(
            identity=record["identity"], folder=folder, library=library, header=folder / HEADER, record=record
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LibraryUnusable(
            f"no build record ({error})", folder, "remove the folder and build again"
        ) from error
    for path in (build.library, build.header, build.table):
        if not path.is_file():
            raise LibraryUnusable(
                "build is incomplete, a file is missing", path, "remove the folder and build again"
            )
    return build
