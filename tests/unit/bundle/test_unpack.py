from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from harness.bundle import pack
from sdcpp import project
from sdcpp.source import revision, sdist

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle that asks for the rules of the patches, with a made-up sdist and no wheels."""
    archive = tmp_path / "stable_diffusion_cpp_python-0.4.7.tar.gz"
    archive.write_bytes(b"an sdist")
    monkeypatch.setattr(sdist, "download", lambda _: archive)
    monkeypatch.setattr(pack, "_wheels", lambda *_: [])
    arguments = ["patch", "lint"]
    there = tmp_path / "there"
    there.mkdir()
    revisions = [revision.find("2026-05")]
    return pack.pack(there / "sdcpp-cpu.pyz", arguments, revisions, python=HERE, platforms=())


def start(packed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, packed, *arguments], capture_output=True, text=True, check=False, cwd="/"
    )


def test_the_other_side_runs_the_packed_project_with_the_packed_downloads(packed: Path) -> None:
    done = start(packed, "patch", "lint")
    assert done.returncode == 0, done.stderr
    assert "patches follow the rules" in done.stdout
    folder = packed.with_suffix("")
    assert (folder / "downloads" / "stable_diffusion_cpp_python-0.4.7.tar.gz").read_bytes() == b"an sdist"
    assert (folder / "project" / project.STAMP.name).read_text(encoding="utf-8").strip() == project.version()


def test_a_cache_of_the_user_gets_the_packed_downloads(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDCPP_CACHE", str(tmp_path / "cache"))
    assert start(packed, "patch", "lint").returncode == 0
    copy = tmp_path / "cache" / "downloads" / "stable_diffusion_cpp_python-0.4.7.tar.gz"
    assert copy.read_bytes() == b"an sdist"


def test_packed_arguments_are_what_runs_when_nothing_is_said(packed: Path) -> None:
    # `patch lint` knows no --output, which is where a run's records are to go.
    done = start(packed)
    assert done.returncode == 2
    assert "unrecognized arguments: --output" in done.stderr


def test_a_damaged_member_is_not_used(packed: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["project/revisions.toml"] += b"# more\n"
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    done = start(packed)
    assert done.returncode == 1
    assert "project/revisions.toml" in done.stderr
    assert "is not what was packed" in done.stderr


def test_another_python_version_is_refused_with_the_command_to_pack_again(packed: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    order = json.loads(members[pack.ORDER])
    members[pack.ORDER] = json.dumps({**order, "python": "3.99"}).encode()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    done = start(packed)
    assert done.returncode == 1
    assert f"--python {HERE}" in done.stderr


def test_a_folder_that_cannot_be_made_is_named(packed: Path) -> None:
    packed.with_suffix("").write_text("a file where the folder would be", encoding="utf-8")
    done = start(packed)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith(f"{packed} cannot be unpacked or run: [Errno ")
    assert f"{packed.with_suffix('')}/" in done.stderr
