"""Compile print_names.cpp against a built library, and ask it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sdcpp.binding.build_folder import Build
from sdcpp.errors import BuildFailed, LibraryUnusable
from sdcpp.machine import toolchain
from sdcpp.process import run
from sdcpp.source.workspace import Tree

_SOURCE = Path(__file__).parent / "print_names.cpp"
_ENUM = re.compile(r"enum SDVersion \{(.*?)\};", re.DOTALL)
_ENTRY = re.compile(r"^\s*VERSION_(\w+)\s*,?", re.MULTILINE)
#: Where model.h is in a source tree: newer revisions have it in src.
_HEADERS = ("src/model.h", "model.h")


def version_numbers(tree: Tree) -> dict[str, int]:
    """Return the number of each version in ``SDVersion`` by its name without VERSION_, from the unpatched source.

    Raises BuildFailed if the source has no such list.
    """
    for name in _HEADERS:
        done = tree.repository.git("show", f"{tree.base}:{name}")
        if not done.status and (found := _ENUM.search(done.output)):
            names = [entry for entry in _ENTRY.findall(found[1]) if entry != "COUNT"]
            return {entry: number for number, entry in enumerate(names)}
    raise BuildFailed("the source has no list of versions", tree.path, "choose a newer revision")


def convert(build: Build, lines: Sequence[tuple[int, str]]) -> list[str]:
    """Return the name to which a build's library converts each name of a tensor, given with the number of a version.

    Raises ToolMissing without a compiler, BuildFailed if the library does not have the function, and LibraryUnusable if
    the program ends before the last name.
    """
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "print-names"
        argv: list[str | Path] = [toolchain.compiler(), "-std=c++17", _SOURCE, build.library, "-o", program]
        done = run([*argv, f"-Wl,-rpath,{build.folder}"], quiet=True)
        if done.status:
            raise BuildFailed(
                "the library does not show how it converts names", done.output, "see the compiler's error"
            )
        questions = Path(folder) / "questions"
        questions.write_text("".join(f"{number} {name}\n" for number, name in lines), encoding="utf-8")
        done = run([program], quiet=True, stdin=questions)
    names = done.output.splitlines()
    if done.status or len(names) != len(lines):
        raise LibraryUnusable(
            f"the program that converts names ended after {len(names)} of {len(lines)}",
            build.library,
            "run sdcpp build again",
        )
    return names
