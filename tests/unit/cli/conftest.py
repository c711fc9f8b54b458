"""Fixtures of the tests of commands."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_cache(cache_folder: Path) -> None:
    """Give every test a cache of its own: a command that fails with a bug writes a log there."""
    assert cache_folder
