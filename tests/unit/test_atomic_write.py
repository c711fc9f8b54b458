from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from harness.cli.main import main
from sdcpp import atomic_write, project
from sdcpp.errors import OutputRefused


def test_a_file_is_written_with_the_folders_above_it(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.md"
    atomic_write.write(path, "ΔW\nhalf a character: \ud800\n")
    assert path.read_bytes() == "ΔW\nhalf a character: ?\n".encode()
    atomic_write.write(path, b"\xff")
    assert path.read_bytes() == b"\xff"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), OutputRefused),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_what_ends_half_way_leaves_the_older_file(
    tmp_path: Path, error: BaseException, raised: type[BaseException]
) -> None:
    path = tmp_path / "a"
    path.write_text("older", encoding="utf-8")

    def write() -> None:
        with atomic_write.atomic_write(path) as partial:
            partial.write_text("new", encoding="utf-8")
            raise error

    with pytest.raises(raised):
        write()
    assert path.read_text(encoding="utf-8") == "older"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.ENOSPC, "free some space"), (errno.EFBIG, "ulimit -f"), (errno.ENOENT, "exist")],
)
def test_the_advice_fits_the_reason(tmp_path: Path, number: int, advice: str) -> None:
    with pytest.raises(OutputRefused, match=advice), atomic_write.atomic_write(tmp_path / "a"):
        raise OSError(number, os.strerror(number))


def test_a_file_that_cannot_be_read_is_another_matter(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write.atomic_write(tmp_path / "a"):
        (tmp_path / "nowhere").read_bytes()


def test_a_folder_where_a_file_lies_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine", encoding="utf-8")
    for path in (taken, taken / "below"):
        with pytest.raises(OutputRefused, match="folder cannot be made"):
            atomic_write.ensure_folder(path)
    monkeypatch.chdir(project.ROOT)
    records = str(next(project.ROOT.glob("results/2026-05-cpu*.jsonl")))
    assert main(["combine", records, "--output", str(taken)]) == OutputRefused.exit_code
    assert f"folder cannot be made (File exists): {taken}" in capsys.readouterr().err.replace("\n", "")
    assert taken.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("command", ["verify", "repeat", "matrix", "stability"])
def test_the_folder_is_looked_at_before_anything_is_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine", encoding="utf-8")
    assert main([command, "--revision", "2026-05", "--output", str(taken)]) == OutputRefused.exit_code
    assert "building" not in capsys.readouterr().err


def test_a_folder_that_is_not_ours_to_write_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (tmp_path, os.W_OK))
    with pytest.raises(OutputRefused, match="may not be written to"):
        atomic_write.ensure_folder(tmp_path)


@pytest.mark.parametrize("name", ["n" * 256, "n" * 5000])
def test_a_name_that_is_too_long_is_refused(tmp_path: Path, name: str) -> None:
    for path in (tmp_path / name, tmp_path / name / "file"):
        with pytest.raises(OutputRefused, match=r"File name too long.*choose a shorter name"):
            atomic_write.write(path, "")
        with pytest.raises(OutputRefused, match="File name too long"), atomic_write.atomic_write(path):
            pass
    with pytest.raises(OutputRefused, match="File name too long"):
        atomic_write.ensure_folder(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("letter", ["n", "Δ", "漢"])
def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path, letter: str) -> None:
    path = tmp_path / (letter * (255 // len(letter.encode())))
    atomic_write.write(path, "content")
    assert path.read_text(encoding="utf-8") == "content"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("device", [os.devnull, "/dev/full", "/dev/stdout", "fifo", "link"])
def test_a_device_or_a_pipe_is_not_replaced_by_a_file(tmp_path: Path, device: str) -> None:
    path = tmp_path / device
    if device == "fifo":
        os.mkfifo(path)
    elif device == "link":
        path.symlink_to(os.devnull)
    if not path.exists() or path.is_file():
        pytest.skip(f"{device} is no device here")
    kind = path.lstat().st_mode
    for write in (lambda: atomic_write.write(path, ""), atomic_write.atomic_write(path).__enter__):
        with pytest.raises(OutputRefused, match="a device or a pipe"):
            write()
    assert path.lstat().st_mode == kind


def test_the_target_of_a_symbolic_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    target, link = tmp_path / "disk" / "target", tmp_path / "link"
    target.parent.mkdir()
    link.symlink_to(target)
    for content in ("first", "second"):
        atomic_write.write(link, content)
        assert target.read_text(encoding="utf-8") == content
        assert link.is_symlink()
    assert list(target.parent.iterdir()) == [target]
