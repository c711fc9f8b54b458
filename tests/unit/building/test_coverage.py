"""A library that is built with gcov, and copies of a process that write its counters at the same time."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.child_process.fork import in_fork
from sdcpp import cache
from sdcpp.binding import library
from sdcpp.binding.build_folder import Build
from sdcpp.building import build, coverage
from sdcpp.process import run
from sdcpp.source import revision, workspace
from tests.unit import fakelib

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("gcov") is None, reason="the study needs gcc and gcov on Linux"
)
COPIES, CALLS = 12, 7


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Return the fake library, built with gcov from a tree like upstream's."""
    tree = fakelib.tree(tmp_path_factory.mktemp("upstream") / "tree")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(cache.VARIABLE, str(tmp_path_factory.mktemp("cache")))
        made = workspace.workspace(revision.from_folder(tree))
        return build.build(made, options=coverage.options())


def count(build: Build, folder: Path, function: str) -> object:
    """Return how often a function has run, as gcov says."""
    coverage.add_notes(build, folder)
    [counters] = [path for path in folder.rglob("*.gcda") if path.name.startswith("fake")]
    done = run(["gcov", "--json-format", "--stdout", counters.name], cwd=counters.parent, quiet=True)
    [file] = json.loads(done.output)["files"]
    return next(entry["execution_count"] for entry in file["functions"] if entry["name"] == function)


def test_copies_that_end_without_cleaning_up_write_their_counters_at_the_same_time(
    counting: Build, tmp_path: Path
) -> None:
    def copies() -> bytes:
        loaded = library.load(counting)
        started = []
        for _ in range(COPIES):
            child = os.fork()
            if child == 0:
                for _ in range(CALLS):
                    loaded.call("sd_get_system_info")
                    loaded.write_counters()
                os._exit(0)
            started.append(child)
        return bytes(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in started)

    with coverage.counting_in(tmp_path / "counters"):
        # gcov reads the variable when a process first writes, so the test has a process of its own
        assert in_fork(copies) == bytes(COPIES)
    assert count(counting, tmp_path / "counters", "sd_get_system_info") == COPIES * CALLS
    assert coverage.PREFIX not in os.environ


def test_a_usual_library_has_no_counters_to_write(fake_build: Callable[..., Build]) -> None:
    made = fake_build("C")
    assert not coverage.is_measured(made.record["options"])
    library.load(made).write_counters()


def test_the_place_of_counters_is_the_former_one_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(coverage.PREFIX, "before")
    with coverage.counting_in(tmp_path):
        assert os.environ[coverage.PREFIX] == str(tmp_path)
    assert os.environ[coverage.PREFIX] == "before"


def test_a_change_of_the_recipe_is_another_build() -> None:
    entries = coverage.options()
    assert coverage.is_measured(entries)
    assert Path(entries["CMAKE_PROJECT_sdcpp-lora-harness_INCLUDE"]).is_file()
