from __future__ import annotations

import os
import signal

from harness.child_process.ended import ChildEnded


def test_signals_have_names() -> None:
    assert ChildEnded(-signal.SIGKILL).cause == "SIGKILL"
    assert ChildEnded(os.EX_OK + 1).cause == "exit status 1"
