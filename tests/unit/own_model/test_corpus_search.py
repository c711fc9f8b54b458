from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from harness.own_model.corpus_search import Missing, Search
from harness.own_model.corpus_values import Wanted

pytestmark = pytest.mark.usefixtures("cache_folder")


@pytest.fixture(name="search")
def _search(tmp_path: Path) -> Search:
    """Return a search beside a file, and in a folder with a folder below it."""
    for name, content in {
        "here/a.gguf": b"a",
        "there/b.gguf": b"b",
        "there/below/c.safetensors": b"c",
        "there/below/c.txt": b"text",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return Search(beside=tmp_path / "here", folders=[tmp_path / "there"])


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(path="a.gguf"), "here/a.gguf"),
        (Wanted(path="b.gguf"), "there/b.gguf"),
        (Wanted(path="below/c.safetensors"), "there/below/c.safetensors"),
        (Wanted(path="c.safetensors"), "there/below/c.safetensors"),
        (Wanted(sha256=digest(b"c")), "there/below/c.safetensors"),
        (Wanted(sha256=digest(b"b")[:10]), "there/b.gguf"),
        (Wanted(path="other-name.gguf", sha256=digest(b"b")), "there/b.gguf"),
        (Wanted(path="a.gguf", sha256=digest(b"a")), "here/a.gguf"),
        (Wanted(path="below"), "there/below"),
    ],
)
def test_files_are_found(wanted: Wanted, found: str, search: Search, tmp_path: Path) -> None:
    assert search.find(wanted) == tmp_path / found


def test_what_is_missing_is_told_with_the_folders(search: Search, tmp_path: Path) -> None:
    for _ in range(2):  # the answer is remembered
        with pytest.raises(Missing, match=f"d.gguf is not in {tmp_path}/here, {tmp_path}/there"):
            search.find(Wanted(path="d.gguf"))
    with pytest.raises(Missing, match=r"SHA-256 ffffffffff is not in"):
        search.find(Wanted(sha256="f" * 10))


def test_another_file_of_the_same_name_is_not_taken(search: Search) -> None:
    other = digest(b"a")[:16]
    with pytest.raises(Missing, match=rf"a\.gguf \(SHA-256 ffffffffff\).*; a\.gguf has the SHA-256 {other}"):
        search.find(Wanted(path="a.gguf", sha256="f" * 10))
