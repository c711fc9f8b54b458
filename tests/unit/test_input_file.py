from __future__ import annotations

import os
from pathlib import Path

import pytest

from sdcpp import input_file


def test_a_file_and_a_link_to_one_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    input_file.require_file(tmp_path / "file")
    input_file.require_file(tmp_path / "link")


def test_everything_else_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    for path, words in (
        (tmp_path, "Is a directory"),
        (tmp_path / "fifo", "a pipe or a device"),
        (tmp_path / "link", "a pipe or a device"),
        (Path(os.devnull), "a pipe or a device"),
        (tmp_path / "absent", "No such file"),
        (tmp_path / ("n" * 300), "File name too long"),
    ):
        with pytest.raises(OSError, match=words) as caught:
            input_file.require_file(path)
        assert caught.value.filename in (path, os.fspath(path))
