from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from harness.child_process.ended import ChildEnded
from tests.unit.child_process.python_child import child


def runs(pid: int) -> bool:
    """Whether a process exists and is not just waiting for its parent to collect its status."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_lines_go_there_and_back() -> None:
    with child("import sys\nfor line in sys.stdin: print(line.upper(), end='', flush=True)") as process:
        for word in (b"one\n", b"two\n"):
            process.send(word)
            assert process.receive() == word.upper()
            process.send(word)
            assert process.receive(60) == word.upper()
        assert process.alive


def test_a_crash_names_its_signal_and_leaves_what_was_printed() -> None:
    code = (
        "import os, sys\nprint('before', file=sys.stderr, flush=True)\nprint('ready', flush=True)\ninput()\n"
    )
    with child(code + "print('why', file=sys.stderr, flush=True)\nos.abort()") as process:
        process.receive()
        process.skip_stderr()
        process.send(b"\n")
        with pytest.raises(ChildEnded) as caught:
            process.receive()
        assert caught.value.cause == "SIGABRT"
        assert process.stderr_tail() == "why\n"
        assert not process.alive
        with pytest.raises(ChildEnded):
            process.send(b"\n")


@pytest.mark.parametrize("reply", ["", "half a line"])
def test_an_exit_before_a_whole_reply_names_its_status(reply: str) -> None:
    with (
        child(f"import sys\nsys.stdout.write({reply!r})\nsys.exit(3)") as process,
        pytest.raises(ChildEnded) as caught,
    ):
        process.receive()
    assert (caught.value.cause, caught.value.status) == ("exit status 3", 3)


def test_no_reply_in_time_kills_the_child() -> None:
    with child("import time\ntime.sleep(600)") as process:
        with pytest.raises(TimeoutError, match=r"0\.2 s"):
            process.receive(0.2)
        assert not process.alive


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_closing_kills_the_processes_of_the_child() -> None:
    code = "import os, time\npid = os.fork()\nif pid: print(pid, flush=True)\ntime.sleep(600)"
    with child(code) as process:
        pid = int(process.receive())
        assert runs(pid)
    deadline = time.monotonic() + 30
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not runs(pid)


def test_a_pipe_that_the_child_has_closed() -> None:
    with child("import os, time\nos.close(0)\nprint('closed', flush=True)") as process:
        process.receive()
        with pytest.raises(ChildEnded) as caught:
            process.send(b"\n")
    assert caught.value.status == 0
