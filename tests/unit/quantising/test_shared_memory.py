from __future__ import annotations

import errno
import mmap
import os
import tempfile
from pathlib import Path

import pytest

from harness.quantising import shared_memory
from harness.quantising.shared_memory import SharedMemory


def test_what_one_side_writes_the_other_reads() -> None:
    ours = SharedMemory()
    new = ours.grow(100)
    assert new
    with new[0].open("r+b") as file:
        theirs = mmap.mmap(file.fileno(), new[1])
    ours.bytes()[99] = 7
    assert theirs[99] == 7
    theirs[0] = 8
    assert ours.bytes()[0] == 8
    ours.release()
    assert not new[0].exists()


@pytest.mark.skipif(os.name != "posix", reason="a file that is mapped keeps its name")
def test_memory_stays_when_its_file_has_no_name_any_more() -> None:
    ours = SharedMemory()
    new = ours.grow(100)
    assert new
    with new[0].open("r+b") as file:
        theirs = mmap.mmap(file.fileno(), new[1])
    ours.hide()
    assert not new[0].parent.exists()
    ours.bytes()[99] = 7
    assert theirs[99] == 7
    assert ours.grow(100) is None
    larger = ours.grow(new[1] + 1)
    assert larger
    assert larger[0].exists()
    ours.release()


def test_memory_is_replaced_only_when_it_is_too_small() -> None:
    memory = SharedMemory()
    first = memory.grow(100)
    assert first
    assert memory.grow(first[1]) is None
    second = memory.grow(first[1] + 1)
    assert second
    assert len(memory.bytes()) == second[1] > first[1]
    memory.release()


def test_a_full_file_system_is_no_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(os, "posix_fallocate"):
        pytest.skip("this system cannot reserve space")
    memory, full = SharedMemory(), tmp_path / "shm"
    full.mkdir()
    allocate = os.posix_fallocate

    def refuse(descriptor: int, offset: int, size: int) -> None:
        place = Path(f"/proc/self/fd/{descriptor}").readlink()
        if place.is_relative_to(full):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        allocate(descriptor, offset, size)

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    monkeypatch.setattr(shared_memory, "_IN_MEMORY", full)
    new = memory.grow(100)
    assert new is not None
    assert not new[0].is_relative_to(full)
    memory.bytes()[:] = 1
    monkeypatch.setattr(tempfile, "tempdir", str(full))
    with pytest.raises(OSError, match="No space left on device") as caught:
        memory.grow(new[1] + 1)
    assert Path(caught.value.filename).is_relative_to(full)
    memory.release()
    assert not list(full.iterdir())
