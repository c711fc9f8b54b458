"""A small C library that stands in for stable-diffusion.cpp, compiled in each generation of its API.

The comment at the top of fake.c lists the environment variables that control it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from sdcpp import project
from sdcpp.binding import build_folder, header, layouts
from sdcpp.binding.build_folder import Build
from sdcpp.building import sanitizer
from sdcpp.process import run

HERE = Path(__file__).parent
LIBRARY = "fake.dll" if os.name == "nt" else "libfake.so"


#: The macros of each variant of the library. A name is the letter of the LoRA API and what is special about the calls.
FAKES = {
    "A-positional": ("POSITIONAL", "ONE_MODE"),
    "A": ("ONE_MODE",),
    "B": (),
    "C": ("GENERATION_C",),
    "C-out": ("GENERATION_C", "IMAGES_OUT"),
}


def header_text(generation: str) -> str:
    """Return the text of the public header of one of FAKES."""
    defines = "".join(f"#define {name}\n" for name in FAKES[generation])
    return defines + (HERE / "fake.h").read_text(encoding="utf-8")


def compile_c(source: Path, result: Path, *options: str | Path) -> Path:
    """Compile one C or C++ file with $CC or $CXX, or with cc or c++, and return ``result``."""
    compiler = os.environ.get("CXX", "c++") if source.suffix == ".cpp" else os.environ.get("CC", "cc")
    done = run([compiler, "-O1", "-o", result, source, *options], quiet=True)
    assert done.status == 0, done.output
    return result


def table_of(folder: Path) -> str:
    """Return the compiler's ABI table (JSON) of the declarations that are read from ``folder``/stable-diffusion.h."""
    (folder / "abi_entries.h").write_text(
        layouts.abi_entries(header.read(folder / build_folder.HEADER)), encoding="utf-8"
    )
    program = compile_c(
        project.ROOT / "sdcpp" / "binding" / "native" / "abi_table.cpp",
        folder / "abi-table",
        f"-I{folder}",
        "-std=c++11",
    )
    done = run([program], quiet=True)
    assert done.status == 0, done.output
    return done.output


def make(folder: Path, generation: str = "C", facts: Mapping[str, object] | None = None) -> Build:
    """Compile one of FAKES into a new build folder and return the build; ``facts`` replace entries of its record.

    The fact "open_fails" is a part of the path of a model: the library opens no such model. The fact "turns" is the
    default of FAKE_TURNS.
    """
    folder.mkdir(parents=True)
    (folder / build_folder.HEADER).write_text(header_text(generation), encoding="utf-8")
    options = ["-fsanitize=address,undefined"] if (facts or {}).get("options") == sanitizer.OPTIONS else []
    for fact, macro in (("open_fails", "FAKE_OPEN_FAILS"), ("turns", "FAKE_TURNS")):
        options += [f'-D{macro}="{facts[fact]}"'] if facts and fact in facts else []
    compile_c(HERE / "fake.c", folder / LIBRARY, "-shared", "-fPIC", f"-I{folder}", *options)
    (folder / build_folder.TABLE).write_text(table_of(folder), encoding="utf-8")
    record = {
        "identity": f"fake{generation}".ljust(64, "0"),
        "library": LIBRARY,
        "revision": "fake",
        "commit": "f" * 40,
        "tag": None,
        "ggml_commit": None,
        "base": "e" * 40,
        "inner_commit": "e" * 40,
        "patches": [],
        "backend": "cpu",
        "options": {},
        "compilers": {"C": "Fake 1"},
        "cmake": {},
        "generator": "none",
        "launcher": None,
        "generation": generation[0],
        "platform": "fake",
        "date": "2026-01-01T00:00:00+00:00",
        "seconds": 0.0,
        **(facts or {}),
    }
    (folder / build_folder.RECORD).write_text(json.dumps(record), encoding="utf-8")
    return build_folder.read(folder)


def tree(folder: Path, generation: str = "C", target: str = "stable-diffusion") -> Path:
    """Write a source tree of one of FAKES that CMake builds like upstream's, and return ``folder``.

    ``target`` is the CMake target of the library.
    """
    folder.mkdir(parents=True)
    shutil.copy(HERE / "fake.c", folder / "fake.c")
    (folder / build_folder.HEADER).write_text(header_text(generation), encoding="utf-8")
    (folder / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.12)\n"
        f"project({target} C)\n"
        "set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)\n"
        f"add_library({target} SHARED fake.c)\n"
        f"target_include_directories({target} PUBLIC .)\n",
        encoding="utf-8",
    )
    return folder
