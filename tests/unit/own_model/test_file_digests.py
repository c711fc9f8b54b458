from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from harness.own_model import file_digests


def test_a_file_is_hashed_once_and_again_when_it_changes(
    tmp_path: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    expected = hashlib.sha256(b"one").hexdigest()
    assert file_digests.sha256(path) == expected
    assert list(json.loads((cache_folder / file_digests.FILE).read_text()).values()) == [expected]
    monkeypatch.setattr(file_digests, "_known", {})  # as in another process
    monkeypatch.setattr(file_digests, "_hashed", lambda _: "hashed again")
    assert file_digests.sha256(path) == expected
    path.write_bytes(b"two")
    os.utime(path, ns=(0, 1))
    assert file_digests.sha256(path) == "hashed again"


def test_a_damaged_memory_is_ignored(
    tmp_path: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_folder.mkdir()
    (cache_folder / file_digests.FILE).write_text("[")
    monkeypatch.setattr(file_digests, "_known", {})
    (tmp_path / "a").write_bytes(b"")
    assert file_digests.sha256(tmp_path / "a") == hashlib.sha256(b"").hexdigest()
