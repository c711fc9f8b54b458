"""Fixtures for the tests of bindings: fake libraries with their API and contexts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdcpp.binding import api, library
from sdcpp.binding.api import ModelFiles
from tests.unit import fakelib
from tests.unit.binding.small_pictures import Fakes


@pytest.fixture(params=list(fakelib.FAKES))
def any_bound_api(request: pytest.FixtureRequest, fake_build: Fakes) -> Any:
    """Return the API of each generation, bound to its fake library."""
    return api.bind(library.load(fake_build(request.param)))


@pytest.fixture(params=["B", "C"])
def bound_api(request: pytest.FixtureRequest, fake_build: Fakes) -> Any:
    """Return the API of generations B and C, each bound to its fake library."""
    return api.bind(library.load(fake_build(request.param)))


@pytest.fixture
def open_context(any_bound_api: Any, model: Path, tmp_path: Path) -> Callable[[], Any]:
    """Return a function that opens a context of each generation."""
    return lambda: any_bound_api.open(ModelFiles(model=model), mode="auto", threads=2, lora_dir=tmp_path)


@pytest.fixture
def context(open_context: Callable[[], Any]) -> Any:
    """Return an open context of each generation."""
    with open_context() as opened:
        yield opened
