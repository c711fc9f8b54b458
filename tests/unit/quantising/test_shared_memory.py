from __future__ import annotations

import mmap

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


def test_memory_is_replaced_only_when_it_is_too_small() -> None:
    memory = SharedMemory()
    first = memory.grow(100)
    assert first
    assert memory.grow(first[1]) is None
    second = memory.grow(first[1] + 1)
    assert second
    assert len(memory.bytes()) == second[1] > first[1]
    memory.release()
