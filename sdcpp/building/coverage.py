"""Builds with gcov, which count how often each line and branch of the library's own sources runs.

This is an option of the CPU backend for gcc: ``sdcpp study coverage``. The compiler writes a .gcno file beside each
object, with the lines and branches of the source. A process adds its counters to .gcda files when it calls
``sdcpp_write_counters`` (``sdcpp.binding.library.Library.write_counters``). gcov locks these files, so many processes
may write at the same time. By default the .gcda files are beside the objects too; ``counting_in`` names another folder
(https://gcc.gnu.org/onlinedocs/gcc/Cross-profiling.html).
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdcpp.binding.build_folder import Build

_NATIVE = Path(__file__).parent / "native"
_RECIPE = _NATIVE / "coverage.cmake"
#: The folder of a build that has the .gcno files, each under the absolute path of its object.
_NOTES = "notes"
#: The variable that names the folder below which a process writes .gcda files, each under the path of its object.
PREFIX = "GCOV_PREFIX"


def options() -> dict[str, str]:
    """Return the CMake cache entries that make such a build.

    One of them is the digest of the files that shape it, so that a change of these files makes another build. Nothing
    is optimised, so that every line keeps its own counter.
    """
    content = b"".join((_NATIVE / name).read_bytes() for name in ("coverage.cmake", "write_counters.c"))
    return {
        "CMAKE_PROJECT_sdcpp-lora-harness_INCLUDE": _RECIPE.as_posix(),
        "SDCPP_OPTIMIZE": "-O0",
        "SDCPP_COVERAGE": hashlib.sha256(content).hexdigest()[:12],
    }


def is_measured(options: Mapping[str, str]) -> bool:
    """Return whether CMake cache entries make a build with gcov."""
    return "SDCPP_COVERAGE" in options


def keep_notes(objects: Path, folder: Path) -> None:
    """Copy the .gcno files of the folder of the objects into the folder of a build.

    Other builds of the same workspace write to the folder of the objects, so the files there do not stay.
    """
    for path in objects.rglob("*.gcno"):
        _copy(path, folder / _NOTES / path.relative_to(path.anchor))


def add_notes(build: Build, folder: Path) -> None:
    """Copy the .gcno files of a build into a folder of counters, where gcov searches for them."""
    notes = build.folder / _NOTES
    for path in notes.rglob("*.gcno"):
        _copy(path, folder / path.relative_to(notes))


@contextmanager
def counting_in(folder: Path) -> Iterator[None]:
    """Within the block, processes that are started write their counters below a folder."""
    before = os.environ.get(PREFIX)
    os.environ[PREFIX] = os.fspath(folder.resolve())
    try:
        yield
    finally:
        if before is None:
            del os.environ[PREFIX]
        else:
            os.environ[PREFIX] = before


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
