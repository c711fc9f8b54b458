from __future__ import annotations

import sys

import pytest

from harness.child_process.memory import limit_address_space, peak_memory, peak_memory_of_children
from sdcpp.process import run
from tests.unit.child_process.python_child import child

#: Allocates as many bytes as a line says and answers whether that was possible.
ALLOCATE = """
import sys
for line in sys.stdin:
    try:
        block = bytearray(int(line))
        print("yes", flush=True)
    except MemoryError:
        print("no", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell")
def test_the_peak_is_in_bytes_and_never_falls() -> None:
    before = peak_memory()
    assert 1 << 20 < before < 1 << 40
    block = bytearray(64 << 20)
    after = peak_memory()
    del block
    assert after >= before
    assert peak_memory() >= after > 64 << 20


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell")
def test_the_peak_of_children_is_that_of_the_largest_one() -> None:
    run([sys.executable, "-c", "block = b'x' * 200_000_000"], quiet=True)
    assert 200_000_000 < peak_memory_of_children() < 1 << 40


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits another process")
def test_a_child_gets_no_more_than_its_limit() -> None:
    with child(ALLOCATE) as process:
        process.send(b"%d\n" % (256 << 20))
        assert process.receive(60) == b"yes\n"
        limit_address_space(process.pid, 512 << 20)
        for size, answer in ((1 << 30, b"no\n"), (1 << 20, b"yes\n")):
            process.send(b"%d\n" % size)
            assert process.receive(60) == answer
