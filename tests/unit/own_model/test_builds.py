from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.own_model import builds
from sdcpp.errors import LibraryUnusable
from tests.unit.own_model.own_files import revisions


def test_each_side_of_each_revision_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, Any, str]] = []
    monkeypatch.setattr(builds, "workspace", lambda revision: revision.name)
    monkeypatch.setattr(builds, "find_states", lambda _tree, _series: "states")
    monkeypatch.setattr(builds, "patches_to_apply", lambda _states: ("patch",))
    monkeypatch.setattr("sdcpp.building.build.build", lambda *arguments: made.append(arguments))
    builds.builds(revisions("2026-05", "2026-07"), ("pristine", "patched"), "cpu")
    assert made == [
        ("2026-05", (), "cpu"),
        ("2026-05", ("patch",), "cpu"),
        ("2026-07", (), "cpu"),
        ("2026-07", ("patch",), "cpu"),
    ]


def test_a_folder_must_have_a_build(tmp_path: Path) -> None:
    with pytest.raises(LibraryUnusable):
        builds.builds([], (), "cpu", tmp_path)
