from __future__ import annotations

import ctypes
import json
import shlex
from pathlib import Path

import pytest

from harness.studies.mutation.generated import generate
from harness.studies.mutation.mutant_build import MutantBuilder, Recipe, read_recipe
from sdcpp import process
from sdcpp.binding.build_folder import HEADER, RECORD, TABLE, Build
from sdcpp.building.cmake import Project
from sdcpp.errors import BuildFailed

pytestmark = pytest.mark.skipif(not process.which("c++"), reason="needs a C++ compiler")

HEADER_TEXT = """\
#pragma once
#include <memory>
#include <vector>
struct WeightAdapter { virtual ~WeightAdapter() = default; };
struct LoraModel {
    static int get_rank(int n) {
        return n + 40;
    }
};
struct MultiLoraAdapter : WeightAdapter {
    explicit MultiLoraAdapter(const std::vector<std::shared_ptr<LoraModel>>&) {}
};
"""
UNIT = (
    '#include "lora.hpp"\nextern "C" int rank() { return LoraModel::get_rank(2) + convert_tensor_name(1); }\n'
)
NAMES = "int convert_tensor_name(int n) {\n    return n * 100;\n}\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    source = tmp_path / "tree" / "src"
    source.mkdir(parents=True)
    (source / "lora.hpp").write_text(HEADER_TEXT)
    (source / "name_conversion.cpp").write_text(NAMES)
    (source / "stable-diffusion.cpp").write_text(f"int convert_tensor_name(int n);\n{UNIT}")
    return source.parent


@pytest.fixture
def recipe(tree: Path) -> Recipe:
    objects = tree.parent / "objects"
    objects.mkdir()
    units = {}
    for name in ("name_conversion.cpp", "stable-diffusion.cpp"):
        words = ("c++", "-fPIC", f"-I{tree}/src", "-o", f"{name}.o", "-c", f"{tree}/src/{name}")
        assert process.run(words, cwd=objects, quiet=True).status == 0
        units[f"src/{name}"] = (f"{name}.o", words)
    link = ("c++", "-shared", "-o", "lib.so", "name_conversion.cpp.o", "stable-diffusion.cpp.o")
    return Recipe(
        tree=tree, cwd=objects, units=units, link=link, includers=frozenset({"src/stable-diffusion.cpp"})
    )


@pytest.fixture
def builder(recipe: Recipe, tmp_path: Path) -> MutantBuilder:
    folder = tmp_path / "original"
    folder.mkdir()
    record = {"identity": "0" * 64, "library": "lib.so"}
    for name, text in ((RECORD, json.dumps(record)), (HEADER, ""), (TABLE, "{}"), ("lib.so", "")):
        (folder / name).write_text(text)
    original = Build(
        identity="0" * 64, folder=folder, library=folder / "lib.so", header=folder / HEADER, record=record
    )
    made = MutantBuilder(recipe, original, tmp_path / "plain", tmp_path / "worker")
    made.compile_plain(1)
    return made


def rank(build: Build, tmp_path: Path) -> int:
    copy = tmp_path / f"{len(list(tmp_path.glob('*.so')))}.so"  # a library is loaded once for each path
    copy.write_bytes(build.library.read_bytes())
    return int(ctypes.CDLL(str(copy)).rank())


def test_a_mutant_of_a_header_and_of_a_unit_change_the_library(
    tree: Path, builder: MutantBuilder, tmp_path: Path
) -> None:
    sources = {
        f"src/{name}": (tree / "src" / name).read_text() for name in ("lora.hpp", "name_conversion.cpp")
    }
    header, unit = (m for m in generate(sources) if m.operator == "operator")
    plain = builder.build(None)
    assert rank(plain, tmp_path) == 142
    mutated = builder.build(header)
    assert mutated.identity != plain.identity
    assert rank(mutated, tmp_path) == 62
    assert rank(builder.build(unit), tmp_path) == 42
    assert rank(builder.build(None), tmp_path) == 142
    assert {text: (tree / name).read_text() for name, text in sources.items()} == {
        t: t for t in sources.values()
    }


def test_a_mutant_that_does_not_compile_leaves_the_sources_as_they_were(
    tree: Path, builder: MutantBuilder, tmp_path: Path
) -> None:
    source = HEADER_TEXT.replace("n + 40", "n + missing")
    [mutant] = [m for m in generate({"src/lora.hpp": source}) if m.operator == "operator"]
    (tree / "src" / "lora.hpp").write_text(source)
    with pytest.raises(BuildFailed, match="missing"):
        builder.build(mutant)
    assert (tmp_path / "worker" / "src" / "lora.hpp").read_text() == source


class FakeProject(Project):
    """A project whose commands are given."""

    def commands(self, target: str) -> list[str]:
        tree = self.source
        return [
            f"/usr/bin/ccache c++ -MD -MT a.o -MF a.o.d -o a.o -c {shlex.quote(f'{tree}/src/a.cpp')}",
            f": && ar qc lib.a a.o && : && c++ -shared -o bin/lib{target}.so a.o && :",
        ]

    def includers(self, name: str) -> set[str]:
        return {"a.o"} if name == "lora.hpp" else set()


def test_the_recipe_is_read_from_the_commands_of_the_build(tmp_path: Path) -> None:
    found = read_recipe(tmp_path, FakeProject(source=tmp_path, folder=tmp_path), "x", "libx.so")
    assert found.units == {"src/a.cpp": ("a.o", ("c++", "-o", "a.o", "-c", f"{tmp_path}/src/a.cpp"))}
    assert found.link == ("c++", "-shared", "-o", "bin/libx.so", "a.o")
    assert found.includers == {"src/a.cpp"}
    with pytest.raises(BuildFailed, match="cannot be read"):
        read_recipe(tmp_path, FakeProject(source=tmp_path, folder=tmp_path), "y", "libx.so")
