"""The counters of a tiny program, read from gcov."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from harness.studies.coverage import counts
from harness.studies.coverage.counts import CountedLine
from sdcpp.errors import LibraryUnusable, ToolMissing
from sdcpp.process import run

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("gcov") is None or shutil.which("g++") is None,
    reason="the study needs gcc and gcov on Linux",
)
HEADER = """\
#include <map>
#include <string>
struct Model {
    std::map<std::string, int> values;
    int get(const std::string& name) {
        auto found = values.find(name);
        if (found == values.end()) {
            return 0;
        }
        return found->second;
    }
    bool has(const std::string& name, const std::string& prefix) {
        return values.count(name) > 0 || values.count(prefix + name) > 0;
    }
    template <typename T>
    int sum(const T& numbers) {
        int total = 0;
        for (auto number : numbers) {
            auto half = [&](int x) {
                return x > 3 ? x / 2 : x;
            };
            total += half(number);
        }
        return total;
    }
};
"""
PROGRAM = """\
#include <set>
#include <vector>
#include "src/model.hpp"
static int never(int x) {
    return x;
}
int main(int count, char**) {
    Model model;
    if (count > 5) {
        return never(count);
    }
    std::vector<int> small = {1, 2};
    std::set<int> large = {7};
    std::vector<std::string> names = {
        "first",
        "second",
    };
    if (model.has("a", "b")) {
        return 1;
    }
    return model.get("a") + (model.sum(small) + model.sum(large) - 6);
}
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the sources, in which the program was compiled and run."""
    folder = tmp_path_factory.mktemp("tree")
    (folder / "src").mkdir()
    (folder / "src" / "model.hpp").write_text(HEADER, encoding="utf-8")
    (folder / "main.cpp").write_text(PROGRAM, encoding="utf-8")
    words = ["g++", "-std=c++17", "-O0", "--coverage"]
    assert run([*words, "-c", "main.cpp", "-o", "main.o"], cwd=folder, quiet=True).status == 0
    assert run([*words, "main.o", "-o", "main"], cwd=folder, quiet=True).status == 0
    assert run([folder / "main"], cwd=folder, quiet=True).status == 0
    return folder


def collect(folder: Path, tree: Path, files: list[str]) -> list[CountedLine]:
    """Return the lines of files, whose texts are those in the tree."""
    texts = {name: (tree / name).read_text(encoding="utf-8").splitlines() for name in files}
    return counts.collect(folder, tree, texts)


def named(lines: list[CountedLine], text: str) -> CountedLine:
    [found] = [line for line in lines if text in line.text]
    return found


def test_lines_have_their_function_and_how_often_they_ran(tree: Path) -> None:
    lines = collect(tree, tree, ["main.cpp", "src/model.hpp"])
    assert {line.file for line in lines} == {"main.cpp", "src/model.hpp"}
    assert named(lines, "return found->second").runs == 0
    inside = named(lines, "return 0;")
    assert (inside.function, inside.number, inside.text) == ("Model::get", 8, "return 0;")
    assert inside.runs > 0
    assert named(lines, "static int never").function == "never"
    assert named(lines, "static int never").runs == 0


@pytest.mark.parametrize("absolute", [True, False])
def test_sources_are_found_from_another_folder(tree: Path, tmp_path: Path, *, absolute: bool) -> None:
    source = tree / "main.cpp"
    path = source if absolute else os.path.relpath(source, tmp_path)
    words = ["g++", "-std=c++17", "--coverage", f"-I{tree}", "-c", path, "-o", "main.o"]
    assert run(words, cwd=tmp_path, quiet=True).status == 0
    assert {line.file for line in collect(tmp_path, tree, ["main.cpp", "src/model.hpp"])} == {
        "main.cpp",
        "src/model.hpp",
    }


def test_only_the_files_that_are_asked_for_are_read(tree: Path) -> None:
    assert {line.file for line in collect(tree, tree, ["src/model.hpp"])} == {"src/model.hpp"}


def test_a_branch_that_an_exception_takes_does_not_count(tree: Path) -> None:
    lines = collect(tree, tree, ["src/model.hpp"])
    assert named(lines, "values.find(name)").branches == ()
    taken = named(lines, "found == values.end()").branches
    assert sorted(count > 0 for count in taken) == [False, True]


def test_a_branch_in_the_cleanup_after_an_exception_does_not_count(tree: Path) -> None:
    [line] = [line for line in collect(tree, tree, ["src/model.hpp"]) if "values.count" in line.text]
    # Two comparisons, and whether the sum of the strings was made and is destroyed. An exception decides that again.
    assert sorted(count > 0 for count in line.branches) == [False] * 3 + [True] * 3


def test_a_line_of_brackets_has_no_branches(tree: Path) -> None:
    lines = [line for line in collect(tree, tree, ["main.cpp"]) if line.text == "};"]
    assert lines
    assert not any(line.branches for line in lines)


def test_instances_of_a_template_and_lambdas_are_added_to_their_function(tree: Path) -> None:
    lines = collect(tree, tree, ["src/model.hpp"])
    assert named(lines, "return total").runs == 2
    half = named(lines, "x > 3")
    assert (half.function, half.runs) == ("Model::sum", 3)


def test_what_has_not_run_has_no_counters(tree: Path, tmp_path: Path) -> None:
    shutil.copy(tree / "main.gcno", tmp_path)
    lines = collect(tmp_path, tree, ["src/model.hpp"])
    assert lines
    assert not any(line.runs for line in lines)


@pytest.mark.parametrize("torn", ["main.gcno", "main.gcda"])
def test_counters_that_cannot_be_read_are_an_error(tree: Path, tmp_path: Path, torn: str) -> None:
    folder = shutil.copytree(tree, tmp_path / "torn")
    (folder / torn).write_bytes(b"something else")
    with pytest.raises(LibraryUnusable, match="--restart"):
        collect(folder, tree, ["main.cpp"])


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "which", lambda _: None)
    with pytest.raises(ToolMissing, match="gcov"):
        counts.require_gcov()
