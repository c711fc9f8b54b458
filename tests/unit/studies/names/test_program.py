from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.studies.names import program
from sdcpp.binding.build_folder import Build
from sdcpp.errors import BuildFailed, ToolMissing
from sdcpp.machine import toolchain
from sdcpp.process import Completed, run
from sdcpp.source.workspace import Tree

SOURCE = """\
#include <string>
enum SDVersion : unsigned;
std::string convert_tensor_name(std::string name, SDVersion version) { return std::to_string(version) + name; }
"""


@pytest.fixture
def build(tmp_path: Path) -> Build:
    if sys.platform == "win32":
        pytest.skip("the program is compiled with gcc's options")
    try:
        compiler = toolchain.compiler()
    except ToolMissing:
        pytest.skip("there is no C++ compiler")
    source, library = tmp_path / "library.cpp", tmp_path / "liblibrary.so"
    source.write_text(SOURCE, encoding="utf-8")
    done = run([compiler, "-shared", "-fPIC", source, "-o", library], quiet=True)
    assert not done.status, done.output
    return Build(identity="x", folder=tmp_path, library=library, header=source, record={})


def test_the_library_is_asked(build: Build) -> None:
    assert program.convert(build, [(3, "a.weight"), (0, "b")]) == ["3a.weight", "0b"]


def test_a_library_without_the_function_is_named(build: Build) -> None:
    build.library.unlink()
    with pytest.raises(BuildFailed):
        program.convert(build, [(3, "a")])


def test_the_versions_are_read_from_the_source() -> None:
    texts = {"base:src/model.h": Completed(argv=(), status=128, output="")}
    header = "enum SDVersion {\n    VERSION_SD1,\n    VERSION_FLUX,  // comment\n    VERSION_COUNT,\n};\n"
    texts["base:model.h"] = Completed(argv=(), status=0, output=header)
    tree = SimpleNamespace(
        base="base", path=Path("tree"), repository=SimpleNamespace(git=lambda _, what: texts[what])
    )
    assert program.version_numbers(_as_tree(tree)) == {"SD1": 0, "FLUX": 1}
    del texts["base:model.h"]
    texts["base:model.h"] = texts["base:src/model.h"]
    with pytest.raises(BuildFailed):
        program.version_numbers(_as_tree(tree))


def _as_tree(tree: object) -> Tree:
    return tree  # type: ignore[return-value] # only these attributes are used
