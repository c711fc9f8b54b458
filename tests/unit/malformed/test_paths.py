from __future__ import annotations

import pytest

from harness.malformed import paths


def test_files_that_cannot_be_tested_here_are_left_out_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert "root" in paths.left_out()["no-permission"]
    assert "path-no-permission" not in {recipe.name for recipe in paths.recipes()}
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert not paths.left_out()
    assert "path-no-permission" in {recipe.name for recipe in paths.recipes()}
