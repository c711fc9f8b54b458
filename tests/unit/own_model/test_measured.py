from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.own_model import measured


def test_what_was_tried() -> None:
    assert measured.tried("2026-05", "cpu", "flux-small")
    assert not measured.tried("2025-12", "cpu", "flux-small")
    assert not measured.tried("2026-05", "metal", "flux-small")


def test_the_digest_is_that_of_the_results() -> None:
    if not measured.RESULTS.is_dir():
        pytest.skip("an installed package has no results")
    stored = json.loads(measured.PATH.read_text())
    assert measured.digest(measured.results()) == stored, "run python -m harness.own_model.measured"


def test_writing_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "PATH", tmp_path / "measured.json")
    monkeypatch.setattr(measured, "RESULTS", tmp_path)
    assert measured.main() == 0
    assert json.loads((tmp_path / "measured.json").read_text()) == {}


def test_which_uses_were_tried() -> None:
    assert measured.tried("2026-07", "cpu", "flux-small", "mmap")
    assert measured.tried("2026-07", "cpu", "flux-small", "changing")
    assert not measured.tried("2026-07", "cpu", "sd1-tiny", "mmap")  # its file is too large to be copied
    assert not measured.tried("2026-07", "metal", "flux-small", "mmap")
