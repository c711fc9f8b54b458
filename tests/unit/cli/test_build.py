from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cli import build as command
from harness.cli.main import main
from sdcpp.building import build as builds
from sdcpp.building import sanitizer
from sdcpp.machine import backends
from sdcpp.patching import series

Calls = list[tuple[str, tuple[str, ...], str, dict[str, str], int | None]]


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Return a list that gets what is built: revision, patches, backend, CMake entries and compilers at a time."""
    calls: Calls = []

    def build(
        tree: str, patches: tuple[str, ...], backend: str, *, options: Any, jobs: int | None
    ) -> SimpleNamespace:
        calls.append((tree, patches, backend, dict(options), jobs))
        return SimpleNamespace(folder=Path(f"/builds/{tree}-{len(calls)}"))

    monkeypatch.setattr(command, "workspace", lambda revision: revision.name)
    monkeypatch.setattr(series, "load", lambda: ("a", "b"))
    monkeypatch.setattr(command, "find_states", lambda tree, patches: [f"{tree} {p}" for p in patches])
    monkeypatch.setattr(command, "patches_to_apply", tuple)
    monkeypatch.setattr(backends, "require", lambda _: None)
    monkeypatch.setattr(builds, "build", build)
    return calls


def test_both_sides_of_all_revisions_are_built_and_their_folders_printed(
    built: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build"]) == 0
    assert [call[:3] for call in built] == [
        ("2025-12", (), "cpu"),
        ("2025-12", ("2025-12 a", "2025-12 b"), "cpu"),
        ("2026-05", (), "cpu"),
        ("2026-05", ("2026-05 a", "2026-05 b"), "cpu"),
        ("2026-07", (), "cpu"),
        ("2026-07", ("2026-07 a", "2026-07 b"), "cpu"),
    ]
    assert capsys.readouterr().out.split() == [
        *("/builds/2025-12-1", "/builds/2025-12-2"),
        *("/builds/2026-05-3", "/builds/2026-05-4"),
        *("/builds/2026-07-5", "/builds/2026-07-6"),
    ]


def test_options_reach_the_build(built: Calls) -> None:
    words = ["--revision", "0.2.9", "--side", "pristine", "--backend", "cuda", "--jobs", "3", "-D", "A=1"]
    assert main(["build", *words]) == 0
    assert built == [("0.2.9", (), "cuda", {"A": "1"}, 3)]


def test_sanitizers_are_cmake_entries_beside_the_users(built: Calls) -> None:
    assert main(["build", "--revision", "0.2.9", "--side", "pristine", "--sanitize", "-D", "A=1"]) == 0
    assert built[0][3] == {"A": "1", **dict(sanitizer.OPTIONS)}
