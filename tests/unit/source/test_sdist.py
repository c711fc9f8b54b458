from __future__ import annotations

import dataclasses
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdcpp import cache
from sdcpp.errors import HashMismatch, NetworkUnavailable, SourceInvalid, ToolMissing, UnsafeArchive
from sdcpp.source import sdist
from sdcpp.source.revision import Sdist
from tests.unit import git_repositories


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use a temporary cache, and return the folder that is the only package index of pip."""
    monkeypatch.setenv(cache.VARIABLE, os.fspath(tmp_path / "cache"))
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_CACHE_DIR", os.fspath(tmp_path / "pip"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", os.fspath(tmp_path / "index"))
    return tmp_path / "index"


def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")


def flip(archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)


def test_pip_brings_it_and_the_next_time_needs_no_network(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = git_repositories.sdist(index)
    got = sdist.download(origin)
    assert got == tmp_path / "cache" / "downloads" / "small_upstream-1.0.tar.gz"
    no_network(monkeypatch)
    assert sdist.download(origin) == got
    assert [item.name for item in got.parent.iterdir() if item.suffix != ".lock"] == [got.name]


def test_a_changed_byte_is_found_by_pip(index: Path, tmp_path: Path) -> None:
    origin = git_repositories.sdist(index)
    flip(index / origin.filename)
    with pytest.raises(HashMismatch, match=origin.sha256):
        sdist.download(origin)
    assert not list((tmp_path / "cache").rglob("*.tar.gz"))


def test_a_changed_byte_in_the_cache_is_found(index: Path) -> None:
    origin = git_repositories.sdist(index)
    archive = sdist.download(origin)
    flip(archive)
    with pytest.raises(HashMismatch, match=r"archive does not have the pinned hash.*\n.*remove it"):
        sdist.download(origin)


def test_without_network_it_says_where_to_place_the_archive(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = git_repositories.sdist(index)
    no_network(monkeypatch)
    with pytest.raises(NetworkUnavailable) as caught:
        sdist.download(origin)
    assert "PIP_INDEX_URL" in caught.value.remedy
    assert f"place {origin.filename} (sha256 {origin.sha256}) into" in caught.value.remedy
    assert "pip says:" in caught.value.remedy
    downloads = tmp_path / "cache" / "downloads"
    (index / origin.filename).rename(downloads / origin.filename)
    assert sdist.download(origin) == downloads / origin.filename


def test_a_version_that_is_not_there(index: Path) -> None:
    origin = dataclasses.replace(git_repositories.sdist(index), version="2.0")
    with pytest.raises(NetworkUnavailable, match=r"small-upstream 2\.0"):
        sdist.download(origin)


def test_a_build_backend_that_is_not_there(index: Path) -> None:
    git_repositories.sdist(index)
    top = "small_upstream-3.0"
    archive = index / f"{top}.tar.gz"
    project = '[build-system]\nrequires = []\nbuild-backend = "no_such_backend"\n'
    with tarfile.open(archive, "w:gz") as tar:
        for name, text in (("pyproject.toml", project), ("PKG-INFO", "Metadata-Version: 2.1\n")):
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    sha256 = __import__("hashlib").sha256(archive.read_bytes()).hexdigest()
    origin = Sdist(package="small-upstream", version="3.0", sha256=sha256, folder="vendor")
    with pytest.raises(ToolMissing, match="build backend of the sdist cannot be run"):
        sdist.download(origin)


def test_only_upstreams_tree_is_unpacked(index: Path, tmp_path: Path) -> None:
    origin = git_repositories.sdist(index)
    place = tmp_path / "place"
    place.mkdir()
    sdist.unpack(index / origin.filename, origin.folder, place)
    expected = {name: text.encode() for name, text in git_repositories.TREE.items()}
    assert git_repositories.contents(place) == expected
    assert not list(place.rglob(".git"))
    assert os.access(place / "format-code.sh", os.X_OK)
    assert not os.access(place / "CMakeLists.txt", os.X_OK)
    assert (place / "CMakeLists.txt").stat().st_mtime == 1_700_000_000


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def archive(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as tar:
        for info in members:
            tar.addfile(info, io.BytesIO(b""))
    return path


ATTACKS = {
    "leaves its folder": member("top/vendor/../../../evil"),
    "leaves the archive": member("../evil"),
    "absolute": member("/evil"),
    "leaves on Windows": member("top/vendor/..\\..\\evil"),
    "absolute on Windows": member("C:\\evil"),
    "leaves, though it is not unpacked": member("elsewhere/../../evil"),
    "leaves from the folder only": member("top/vendor/../../evil"),
    "character device": member("top/vendor/device", tarfile.CHRTYPE),
    "block device": member("top/vendor/device", tarfile.BLKTYPE),
    "pipe": member("top/vendor/pipe", tarfile.FIFOTYPE),
    "link that leaves": member("top/vendor/link", tarfile.SYMTYPE, "../../evil"),
    "link to the outside that is not unpacked": member("other/link", tarfile.SYMTYPE, "../../evil"),
    "absolute link": member("top/vendor/link", tarfile.SYMTYPE, "/etc/passwd"),
    "link to the parent": member("top/vendor/link", tarfile.SYMTYPE, ".."),
    "hard link that leaves": member("top/vendor/hard", tarfile.LNKTYPE, "../../evil"),
    "absolute hard link": member("top/vendor/hard", tarfile.LNKTYPE, "/etc/passwd"),
    "link to itself": member("top/vendor/loop", tarfile.SYMTYPE, "loop"),
}


def everything(folder: Path, but: Path) -> dict[Path, bytes | None]:
    """Return all paths of a folder that are not below ``but``, with the content of files."""
    return {
        path: path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if but not in path.parents
    }


@pytest.mark.parametrize("name", ATTACKS)
def test_a_member_outside_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    bad = ATTACKS[name]
    place = tmp_path / "a" / "b" / "place"
    place.mkdir(parents=True)
    made = archive(tmp_path / "made.tar", member("top/vendor/good"), bad)
    before = everything(tmp_path, but=place)
    with pytest.raises(UnsafeArchive) as caught:
        sdist.unpack(made, "vendor", place)
    assert bad.name.removeprefix("top/") in caught.value.subject
    assert everything(tmp_path, but=place) == before


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_nothing_is_written_through_a_link(tmp_path: Path, kind: bytes) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "place").mkdir()
    made = archive(
        tmp_path / "made.tar",
        member("top/vendor/good"),
        member("top/vendor/link", kind, "../outside" if kind == tarfile.SYMTYPE else "top/../../outside"),
        member("top/vendor/link/evil"),
    )
    with pytest.raises((UnsafeArchive, SourceInvalid)):
        sdist.unpack(made, "vendor", tmp_path / "place")
    assert not list((tmp_path / "outside").iterdir())


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_chain_of_links_longer_than_a_path(tmp_path: Path, overwrite: bool) -> None:
    # CVE-2025-4517: the data filters up to Python 3.11.12 resolve links only as far as the system's longest path.
    place = tmp_path / "place"
    place.mkdir()
    (tmp_path / "secret").write_text("old")
    top, deep, letters = "top/vendor/", "d" * 247, "abcdefghijklmnop"
    members, path = [], top
    for letter in letters:
        members.append(member(f"{path}{deep}", tarfile.DIRTYPE))
        members.append(member(f"{path}{letter}", tarfile.SYMTYPE, deep))
        path += f"{deep}/"
    end = f"{'/'.join(letters)}/{'l' * 254}"
    members.append(member(f"{top}{end}", tarfile.SYMTYPE, "../" * len(letters)))
    members.append(member(f"{top}escape", tarfile.SYMTYPE, f"{end}/.."))
    if overwrite:
        members.append(member(f"{top}hard", tarfile.LNKTYPE, f"{top}escape/secret"))
        members.append(member(f"{top}hard"))
    made = archive(tmp_path / "made.tar", *members)
    before = everything(tmp_path, but=place)
    with pytest.raises(SourceInvalid if overwrite else UnsafeArchive):
        sdist.unpack(made, "vendor", place)
    assert everything(tmp_path, but=place) == before


def test_a_file_loses_its_special_bits_and_its_owner(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    odd = member("top/vendor/odd")
    odd.mode, odd.uid, odd.gid = 0o7777, 12345, 12345
    sdist.unpack(archive(tmp_path / "made.tar", odd), "vendor", tmp_path / "place")
    found = (tmp_path / "place" / "odd").stat()
    assert oct(found.st_mode & 0o7777) == oct(0o755)
    assert found.st_uid == os.geteuid()


def test_a_python_without_extraction_filters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(tarfile, "data_filter")
    with pytest.raises(ToolMissing, match=r"no extraction filters: Python 3\.\d+\.\d+\n.*3\.11\.4"):
        sdist.unpack(archive(tmp_path / "made.tar", member("top/vendor/good")), "vendor", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["made.tar"]


@pytest.mark.parametrize("backwards", [False, True])
def test_links_that_leave_only_together_are_refused(tmp_path: Path, backwards: bool) -> None:
    # Each target stays inside when read as text; followed one after the other they do not (CVE-2025-4517).
    place = tmp_path / "place"
    place.mkdir()
    links = [
        member("top/vendor/x/y/up", tarfile.SYMTYPE, "../.."),
        member("top/vendor/out", tarfile.SYMTYPE, "x/y/up/../../.."),
    ]
    made = archive(tmp_path / "made.tar", *(reversed(links) if backwards else links))
    with pytest.raises(UnsafeArchive, match="vendor/out"):
        sdist.unpack(made, "vendor", place)


def test_links_that_stay_inside_are_kept(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    made = archive(
        tmp_path / "made.tar",
        member("top/vendor/good"),
        member("top/vendor/x/soft", tarfile.SYMTYPE, "../good"),
        member("top/vendor/x/hard", tarfile.LNKTYPE, "top/vendor/good"),
    )
    sdist.unpack(made, "vendor", place)
    assert (place / "x" / "soft").readlink() == Path("../good")
    assert (place / "x" / "hard").read_bytes() == b""


@pytest.mark.parametrize("spoil", [lambda data: data[: len(data) // 2], lambda _data: b"no archive"])
def test_a_damaged_archive(index: Path, tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    origin = git_repositories.sdist(index)
    path = index / origin.filename
    path.write_bytes(spoil(path.read_bytes()))
    (tmp_path / "place").mkdir()
    with pytest.raises(SourceInvalid, match="cannot be unpacked"):
        sdist.unpack(path, origin.folder, tmp_path / "place")


def test_an_archive_without_the_folder(index: Path, tmp_path: Path) -> None:
    origin = git_repositories.sdist(index)
    (tmp_path / "place").mkdir()
    with pytest.raises(SourceInvalid, match="lacks the folder"):
        sdist.unpack(index / origin.filename, "vendor/other", tmp_path / "place")


PARTS = st.sampled_from(["top", "vendor", "..", ".", "a", "b", "", "/", "C:", "a\\..\\.."])
NAMES = st.lists(PARTS, min_size=1, max_size=6).map("/".join)
KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(NAMES, KINDS, NAMES), min_size=1, max_size=5))
def test_nothing_is_ever_written_elsewhere(
    tmp_path_factory: pytest.TempPathFactory, members: list[tuple[str, bytes, str]]
) -> None:
    outer = tmp_path_factory.mktemp("outer")
    place = outer / "x" / "y" / "place"
    place.mkdir(parents=True)
    made = archive(outer / "made.tar", member("top/vendor/good"), *(member(*words) for words in members))
    before = {path for path in outer.rglob("*") if place not in path.parents}
    try:
        sdist.unpack(made, "vendor", place)
    except (UnsafeArchive, SourceInvalid):
        return
    finally:
        assert {path for path in outer.rglob("*") if place not in path.parents} == before
    assert all(path.resolve().is_relative_to(place) for path in place.rglob("*"))
