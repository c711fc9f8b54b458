from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.cases.malformed_file_case import malformed_file_cases
from harness.malformed.malformed_file import MalformedFile
from tests.unit.fake_malformed_files import malformed_case, recipe
from tests.unit.fake_models import BASE

pytestmark = pytest.mark.usefixtures("cache_folder")


def test_a_case_needs_the_references_of_its_recipe_only() -> None:
    assert set(malformed_case().references) == {"without", "whole"}
    assert set(malformed_case(accept=frozenset({"without", "first"})).references) == {
        "without",
        "whole",
        "first",
    }
    assert len(malformed_case().shots) == 3


def test_cases_are_made_for_each_mode_that_can_matter_and_have_unique_names() -> None:
    modes = ["immediately", "at_runtime"]
    [once] = malformed_file_cases(BASE, modes, [recipe()], any_suffix=False)
    assert once.dimensions["mode"] == "at_runtime"
    found = malformed_file_cases(BASE, modes, [replace(recipe(), in_every_mode=True)], any_suffix=False)
    assert [t.dimensions["mode"] for t in found] == ["at_runtime", "immediately"]
    assert len({shot.name for t in found for shot in t.shots}) == 6
    assert found[0].shot.request(1).sequence[0][0].path.name.endswith("odd.safetensors")


def test_a_file_that_an_old_library_would_not_look_for_is_not_tried_on_it() -> None:
    def named(name: str) -> MalformedFile:
        make: Callable[[], bytes] = lambda: b"x"  # noqa: E731
        return MalformedFile(name="n", container="gguf", why="w", content=make, file_name=name)

    for name, count in {"x.gguf": 0, "x": 0, "a b.safetensors": 1, "x.ckpt": 1}.items():
        assert len(malformed_file_cases(BASE, ["auto"], [named(name)], any_suffix=False)) == count
        assert len(malformed_file_cases(BASE, ["auto"], [named(name)], any_suffix=True)) == 1
