from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from harness.quantising.protocol import FINISH, QuantiseReply, QuantiseRequest, StartReply
from sdcpp.binding.build_folder import Build
from sdcpp.errors import LibraryUnusable


def run(folder: Path, requests: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run the child until it has read all requests."""
    words: list[str | Path] = [sys.executable, "-m", "harness.quantising.child", folder, "1"]
    return subprocess.run(words, input=requests, capture_output=True, check=False)


def test_the_types_come_first_and_then_a_reply_to_each_request(fake_build: Callable[..., Build]) -> None:
    done = run(fake_build("C").folder, 2 * QuantiseRequest(task=FINISH).line())
    first, *replies = done.stdout.splitlines(keepends=True)
    assert [info.name for info in StartReply.from_line(first).types] == ["FAKE_8"]
    assert [QuantiseReply.from_line(line) for line in replies] == [QuantiseReply()] * 2
    assert done.returncode == 0


def test_an_error_at_the_start_is_sent_in_its_three_parts(tmp_path: Path) -> None:
    done = run(tmp_path)
    [line] = done.stdout.splitlines()
    reply = StartReply.from_line(line)
    assert reply.error is not None
    assert "no build record" in reply.error[0]
    assert reply.error[1] == str(tmp_path)
    assert done.returncode == LibraryUnusable.exit_code


def test_little_is_imported(fake_build: Callable[..., Build]) -> None:
    program = (
        "import sys; sys.stdin = open('/dev/null'); from harness.quantising.child import main\n"
        "main(sys.argv[1:])\n"
        "sys.exit(bool({'gguf', 'tempfile', 'rich', 'pycparser'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, fake_build("C").folder, "1"], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
