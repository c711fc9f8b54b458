from __future__ import annotations

import os
import signal

import pytest

from harness.child_process.ended import ChildEnded
from harness.child_process.fork import in_fork

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def test_work_is_done_in_another_process_and_its_bytes_come_back() -> None:
    assert int(in_fork(lambda: str(os.getpid()).encode())) != os.getpid()
    large = bytes(range(256)) * 4096
    assert in_fork(lambda: large) == large


def test_a_crash_is_an_error_here() -> None:
    def crash() -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)
        return b""

    with pytest.raises(ChildEnded) as caught:
        in_fork(crash)
    assert caught.value.cause == "SIGKILL"


def test_an_exception_ends_the_fork_alone() -> None:
    with pytest.raises(ChildEnded) as caught:
        in_fork(lambda: b"x"[1:2] + bytes(1 // 0))
    assert caught.value.status == 1
