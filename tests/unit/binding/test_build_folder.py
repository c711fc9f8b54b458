from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sdcpp.binding import build_folder
from sdcpp.binding.build_folder import Build
from sdcpp.errors import LayoutMismatch, LibraryUnusable


@pytest.fixture
def copied_build(fake_build: Callable[..., Build], tmp_path: Path) -> Path:
    """Return a copy of a build folder that a test may damage."""
    return Path(shutil.copytree(fake_build("C").folder, tmp_path / "build"))


def test_a_finished_build_is_read(copied_build: Path) -> None:
    found = build_folder.read(copied_build)
    assert found.identity == found.record["identity"]
    assert found.backend == "cpu"
    assert found.library.parent == found.header.parent == found.table_path.parent == copied_build
    assert found.read_table()["enumerators"]
    assert found.open_library().sd_get_system_info


@pytest.mark.parametrize("attribute", ["library", "header", "table_path"])
def test_a_build_without_one_of_its_files_is_incomplete(copied_build: Path, attribute: str) -> None:
    missing: Path = getattr(build_folder.read(copied_build), attribute)
    missing.unlink()
    with pytest.raises(LibraryUnusable, match="incomplete") as caught:
        build_folder.read(copied_build)
    assert caught.value.subject == str(missing)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"identity": "x"}', '{"library": "x"}'])
def test_a_folder_without_a_record_of_a_build_is_none(copied_build: Path, text: str) -> None:
    (copied_build / build_folder.RECORD).write_text(text, encoding="utf-8")
    with pytest.raises(LibraryUnusable, match="no build record"):
        build_folder.read(copied_build)
    (copied_build / build_folder.RECORD).unlink()
    with pytest.raises(LibraryUnusable, match="no build record"):
        build_folder.read(copied_build)


@pytest.mark.parametrize("text", ["{", "[]", "1", json.dumps({"structs": {}})])
def test_a_table_that_no_compiler_made_is_a_mismatch(copied_build: Path, text: str) -> None:
    build = build_folder.read(copied_build)
    build.table_path.write_text(text, encoding="utf-8")
    with pytest.raises(LayoutMismatch, match="table cannot be read"):
        build.read_table()


def test_what_is_no_library_cannot_be_opened(copied_build: Path) -> None:
    text = copied_build / "text.so"
    text.write_text("no library", encoding="utf-8")
    with pytest.raises(LibraryUnusable, match="cannot be loaded"):
        replace(build_folder.read(copied_build), library=text).open_library()
