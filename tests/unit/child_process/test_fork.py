from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from harness.child_process.ended import ChildEnded
from harness.child_process.fork import in_fork, in_forks

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


def test_forks_work_at_the_same_time_and_their_bytes_come_in_order() -> None:
    large = 1 << 18  # more than a pipe holds
    assert in_forks(lambda number: bytes([number]) * large, 3) == [bytes([n]) * large for n in range(3)]


def test_all_forks_end_before_a_crash_is_reported(tmp_path: Path) -> None:
    def crash(number: int) -> bytes:
        (tmp_path / str(os.getpid())).touch()
        if number == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return b"done"

    with pytest.raises(ChildEnded):
        in_forks(crash, 3)
    processes = [int(path.name) for path in tmp_path.iterdir()]
    assert len(processes) == 3
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
