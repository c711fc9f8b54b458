"""Fixtures of the unit tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.records.record import Records
from sdcpp import cache
from sdcpp.binding.build_folder import Build
from tests.unit import fakelib
from tests.unit.combined_records import machine


@pytest.fixture(scope="session")
def fake_build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Build]:
    """Return a function that returns a build of the fake library: ``fake_build("B")``, ``fake_build("C")``.

    Each variant is compiled once a session. Keyword arguments replace entries of the build record:
    ``fake_build("C", backend="cuda")`` is another build, in another folder.
    """
    made: dict[tuple[object, ...], Build] = {}

    def get(generation: str = "C", **facts: object) -> Build:
        key = (generation, *sorted((name, repr(value)) for name, value in facts.items()))
        if key not in made:
            folder = tmp_path_factory.mktemp("fake") / f"fake-{generation}"
            made[key] = fakelib.make(folder, generation, facts)
        return made[key]

    return get


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this project use an empty cache folder for the test, and return that folder."""
    folder = tmp_path / "cache"
    monkeypatch.setenv(cache.VARIABLE, str(folder))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a file that the fake library accepts as a model."""
    path = tmp_path / "model.gguf"
    path.write_bytes(b"model")
    return path


@pytest.fixture
def cpu_run() -> Records:
    """Return the example's newest revision as a run on a processor."""
    return machine("cpu", "A processor")


@pytest.fixture
def cuda_run() -> Records:
    """Return the same run on a card, with the same pictures."""
    return machine("cuda", "A card")
