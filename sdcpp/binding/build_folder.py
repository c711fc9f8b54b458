"""Read the folder of a finished build. This module does not import what is needed to make a build."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdcpp.errors import LayoutMismatch, LibraryUnusable

#: The names of files in the folder: the build record, the compiler's ABI table and upstream's public header.
RECORD, TABLE, HEADER = "build.json", "abi.json", "stable-diffusion.h"


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A finished build. ``library`` and ``header`` are files in ``folder``; ``record`` is the content of build.json."""

    identity: str
    folder: Path
    library: Path
    header: Path
    record: Mapping[str, Any]

    @property
    def table_path(self) -> Path:
        """The path of the compiler's ABI table."""
        return self.folder / TABLE

    @property
    def backend(self) -> str:
        """The name of the backend that the library was built for."""
        return str(self.record["backend"])

    def read_table(self) -> dict[str, Any]:
        """Return the compiler's ABI table; raises LayoutMismatch if it cannot be read."""
        try:
            table: dict[str, Any] = json.loads(self.table_path.read_text(encoding="utf-8"))
            if "enumerators" not in table:
                raise ValueError("it lists no enumerators")
        except (OSError, ValueError, TypeError) as error:
            raise LayoutMismatch(
                f"the compiler's table cannot be read ({error})",
                self.table_path,
                "remove the folder and build again",
            ) from error
        return table

    def open_library(self) -> ctypes.CDLL:
        """Load the library into this process and return it, without the types of its functions.

        Raises LibraryUnusable.
        """
        try:
            # With local symbols it cannot use the functions of another ggml in this process.
            return ctypes.CDLL(os.fspath(self.library), mode=getattr(ctypes, "RTLD_LOCAL", 0))
        except OSError as error:
            raise LibraryUnusable(
                f"library cannot be loaded ({error})",
                self.library,
                "build it again on this machine, or install the library that the message names",
            ) from error


def read(folder: Path) -> Build:
    """Return the build in a folder; raises LibraryUnusable if its record cannot be read or a file is missing."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        library = folder / record["library"]
        build = Build(
            identity=record["identity"], folder=folder, library=library, header=folder / HEADER, record=record
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LibraryUnusable(
            f"no build record that can be used ({error})", folder, "remove the folder and build again"
        ) from error
    for path in (build.library, build.header, build.table_path):
        if not path.is_file():
            raise LibraryUnusable(
                "build is incomplete: a file is missing", path, "remove the folder and build again"
            )
    return build
