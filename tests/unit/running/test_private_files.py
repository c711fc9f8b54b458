from __future__ import annotations

from pathlib import Path

from harness.running.private_files import PrivateFiles


def test_the_copies_are_watched_and_removed_and_the_files_stay(tmp_path: Path) -> None:
    model, more = tmp_path / "a" / "x.gguf", tmp_path / "b" / "x.gguf"
    for path in (model, more):
        path.parent.mkdir()
        path.write_bytes(b"weights")
    private = PrivateFiles({"model": model, "clip_l": more})
    copies = private.paths
    assert {path.read_bytes() for path in copies.values()} == {b"weights"}
    assert private.changed() == []
    copies["clip_l"].write_bytes(b"Weights")
    assert private.changed() == ["clip_l.gguf"]
    private.close()
    assert not any(path.exists() for path in copies.values())
    assert model.read_bytes() == more.read_bytes() == b"weights"
