"""Fixtures for the tests of patches."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.patching.good_patch import GOOD


@pytest.fixture
def series_folder(tmp_path: Path) -> Path:
    """Return a folder of patches: small-thing.patch, which follows all rules, and the file series."""
    (tmp_path / "series").write_text("# The order.\n\nsmall-thing.patch  # why here\n")
    (tmp_path / "small-thing.patch").write_text(GOOD)
    return tmp_path
