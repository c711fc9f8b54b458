"""Fixtures of the tests of containers."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def fuzz_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one folder for all examples of a fuzzed test: hypothesis makes no new ``tmp_path`` for each."""
    return tmp_path_factory.mktemp("fuzzed")
