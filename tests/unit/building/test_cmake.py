from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from sdcpp.building import cmake
from sdcpp.errors import BuildFailed
from sdcpp.machine import toolchain

PRESETS = """{"version": 6, "configurePresets": [{"name": "p", "generator": "Ninja", "cacheVariables":
{"CMAKE_BUILD_TYPE": "Release"}}]}"""


@pytest.fixture
def project(tmp_path: Path) -> cmake.Project:
    source = tmp_path / "source"
    source.mkdir()
    (source / "CMakePresets.json").write_text(PRESETS, encoding="utf-8")
    (source / "thing.c").write_text("int thing(void) { return WHAT; }\n", encoding="utf-8")
    (source / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\nproject(p LANGUAGES C)\nadd_library(thing SHARED thing.c)\n"
        'if(STOP)\n  message(FATAL_ERROR "stopped here")\nendif()\n'
        "target_compile_definitions(thing PRIVATE WHAT=${WHAT})\n",
        encoding="utf-8",
    )
    return cmake.Project(source=source, folder=tmp_path / "build")


def test_the_file_api_names_artifact_and_compiler(project: cmake.Project) -> None:
    project.configure("p", {"WHAT": "7"})
    project.build(["thing"], jobs=1)
    assert project.artifact("thing").is_file()
    (compiler,) = project.compilers()
    assert compiler.language == "C"
    assert re.fullmatch(r"\d+(\.\d+)+", compiler.version)
    assert "cmake --build" in (project.folder / "build.log").read_text(encoding="utf-8")
    with pytest.raises(BuildFailed, match="no such target: other"):
        project.artifact("other")


def test_a_second_build_does_nothing(project: cmake.Project) -> None:
    for _ in range(2):
        project.configure("p", {"WHAT": "7"})
        project.build(["thing"])
    assert "no work to do" in (project.folder / "build.log").read_text(encoding="utf-8")


def content(project: cmake.Project, thing: str, more: str = "", stamp: str = "1") -> str:
    """Return the content of a library made of these, built in one folder after another."""
    (project.source / "thing.c").write_text(thing, encoding="utf-8")
    (project.source / "version.cpp.c").write_text(f"int version = {stamp};\n", encoding="utf-8")
    (project.source / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\nproject(p LANGUAGES C)\n"
        f"add_library(thing SHARED thing.c version.cpp.c)\n{more}\n",
        encoding="utf-8",
    )
    project.configure("p", {})
    project.build(["thing"])
    return project.content("thing", project.source)


def test_content_is_what_is_compiled_and_how(project: cmake.Project) -> None:
    first = content(project, "int thing(void) { return 1; }\n")
    assert content(project, "int  thing(void) { return 1; } // nothing\n") == first
    assert content(project, "int thing(void) { return 2; }\n") != first
    flags = "target_link_options(thing PRIVATE LINKER:--no-undefined)"
    assert content(project, "int thing(void) { return 1; }\n", flags) != first
    assert content(project, "int thing(void) { return 1; }\n") == first


def test_where_it_is_built_is_no_content(project: cmake.Project) -> None:
    thing, include = "int thing(void) { return 1; }\n", "include_directories(${CMAKE_CURRENT_SOURCE_DIR})"
    first, elsewhere = content(project, thing, include), project.source.parent / "elsewhere"
    shutil.copytree(project.source, elsewhere)
    assert content(cmake.Project(source=elsewhere, folder=elsewhere / "build"), thing, include) == first


def test_the_commands_and_the_includers_of_a_header_are_known(project: cmake.Project) -> None:
    (project.source / "part.h").write_text("int part(void);\n", encoding="utf-8")
    (project.source / "thing.c").write_text(
        '#include "part.h"\nint thing(void) { return WHAT; }\n', encoding="utf-8"
    )
    project.configure("p", {"WHAT": "7"})
    project.build(["thing"], jobs=1)
    compiled, linked = project.commands("thing")[-2:]
    assert " -c " in compiled
    assert "thing.c.o" in linked
    [includer] = project.includers("part.h")
    assert includer.endswith("thing.c.o")
    assert project.includers("other.h") == set()


def test_the_version_stamp_is_no_content(project: cmake.Project) -> None:
    thing = "int thing(void) { return 1; }\n"
    assert len({content(project, thing, stamp=stamp) for stamp in ("1", "2")}) == 2, (
        "this is no stamp: .cpp.c.o"
    )
    stamped = "set_source_files_properties(version.cpp PROPERTIES LANGUAGE C COMPILE_DEFINITIONS V={})"
    found = set()
    for stamp in ("1", "2"):
        (project.source / "version.cpp").write_text("int stamp = V;\n", encoding="utf-8")
        more = f"target_sources(thing PRIVATE version.cpp)\n{stamped.format(stamp)}"
        found.add(content(project, thing, more))
    assert len(found) == 1


def test_a_compile_error_is_named_with_file_and_line(project: cmake.Project) -> None:
    (project.source / "thing.c").write_text(
        "#warning before\nint thing(void) {\n  return missing;\n}\nint other(void) { return more; }\n",
        encoding="utf-8",
    )
    project.configure("p", {"WHAT": "7"})
    with pytest.raises(BuildFailed) as caught:
        project.build(["thing"])
    assert re.search(r"thing\.c:3: .*missing", caught.value.subject)
    assert "other" not in caught.value.subject
    log = project.folder / "build.log"
    assert str(log) in caught.value.remedy
    assert "#warning before" in log.read_text(encoding="utf-8")


def test_cmakes_own_error_is_shown(project: cmake.Project) -> None:
    with pytest.raises(BuildFailed, match="stopped here") as caught:
        project.configure("p", {"WHAT": "7", "STOP": "ON"})
    assert "CMakeLists.txt:5" in caught.value.subject
    assert "configure.log" in caught.value.remedy


@pytest.mark.parametrize(
    ("log", "error"),
    [
        ("[1/2] cc\na/b.cpp:12:7: error: no x\nc.cpp:1:1: error: y\n", "a/b.cpp:12: no x"),
        ("a.h:1:10: fatal error: vulkan.hpp: No such file\n", "a.h:1: vulkan.hpp: No such file"),
        ('kernel.cu(33): error: identifier "q" is undefined\n', 'kernel.cu:33: identifier "q" is undefined'),
        (r"C:\src\a.cpp(5,3): error C2065: 'q': undeclared" + "\n", r"C:\src\a.cpp:5: 'q': undeclared"),
        (
            "x.o: in function `f':\nx.c:(.text+0x5): undefined reference to `g'\n",
            "x.c:(.text+0x5): undefined reference to `g'",
        ),
        ("FAILED: thing\n/bin/sh: 1: nothing: not found\n", "FAILED: thing\n/bin/sh: 1: nothing: not found"),
        ("one\ntwo\n", "one\n  two"),
    ],
)
def test_the_first_error_of_a_log(log: str, error: str) -> None:
    assert cmake.first_error(log) == error


def test_the_tools_are_the_interpreters_own() -> None:
    assert cmake.program().is_file()
    assert set(toolchain.cmake_versions()) == {"cmake", "ninja"}


def test_a_compiler_cache_is_put_before_every_compiler() -> None:
    values = cmake.launcher_values(Path("/opt/ccache"))
    assert values["CMAKE_CXX_COMPILER_LAUNCHER"] == "/opt/ccache"
    assert cmake.launcher_values(None) == {}
