from __future__ import annotations

import io
import shutil
import subprocess
import sys
from contextlib import suppress

import pytest
from rich.console import Console
from rich.table import Table

from sdcpp import standard_streams
from sdcpp.errors import StandardOutputLost

TEXT = "ΔW 0.5% → “x” ≤ … ‖a‖ é 漢 \udcff ⠋\n"


def shown(text: str, encoding: str) -> str:
    """Return what a stream of that encoding gets."""
    buffer = io.BytesIO()
    stdout, sys.stdout = sys.stdout, io.TextIOWrapper(buffer, encoding=encoding)
    try:
        with standard_streams.guarded() as check:
            assert sys.stdout.encoding == encoding
            print(text, end="")
            check()
    finally:
        sys.stdout = stdout
    return buffer.getvalue().decode(encoding)


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "ΔW 0.5% → “x” ≤ … ‖a‖ é 漢 \\udcff ⠋\n"),
        ("ascii", 'dW 0.5% -> "x" <= ... ||a|| \\xe9 \\u6f22 \\udcff \\u280b\n'),
        ("cp1252", "dW 0.5% -> “x” <= … ||a|| é \\u6f22 \\udcff \\u280b\n"),
        ("cp437", 'dW 0.5% -> "x" ≤ ... ||a|| é \\u6f22 \\udcff \\u280b\n'),
        ("utf-16", "ΔW 0.5% → “x” ≤ … ‖a‖ é 漢 \\udcff ⠋\n"),
    ],
)
def test_what_an_encoding_lacks_is_shown_in_ascii(encoding: str, expected: str) -> None:
    assert shown(TEXT, encoding) == expected


def test_rich_writes_through_the_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="ascii"))
    table = Table("Δ")
    table.add_row("é")
    with standard_streams.guarded() as check:
        Console(width=40).print(table)
        check()
    assert "| d" in buffer.getvalue().decode("ascii")
    assert "\\xe9" in buffer.getvalue().decode("ascii")


def test_the_streams_are_put_back(capsys: pytest.CaptureFixture[str]) -> None:
    streams = sys.stdout, sys.stderr
    with suppress(ValueError), standard_streams.guarded():
        assert sys.stdout is not streams[0]
        raise ValueError
    assert (sys.stdout, sys.stderr) == streams
    assert capsys.readouterr() == ("", "")


def test_a_stream_without_an_encoding_is_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    with standard_streams.guarded() as check:
        print("Δ")
        check()
    assert stream.getvalue() == "Δ\n"


BASH = shutil.which("bash") or "/bin/bash"
PROGRAM = """
import sys
from pathlib import Path
from sdcpp import standard_streams
from sdcpp.errors import StandardOutputLost
with standard_streams.guarded() as check:
    for number in range(20_000):
        print(number)
        print(number, file=sys.stderr)
    with open(sys.argv[1], "w") as file:
        file.write(f"complete {file.fileno()}")
    try:
        check()
    except StandardOutputLost as error:
        file = open(sys.argv[1], "a")
        file.write(f"\\n{error}")
"""


@pytest.mark.parametrize(
    ("redirection", "lost"),
    [
        (">/dev/null 2>/dev/null", ""),
        (">/dev/null 2>/dev/full", ""),
        (">/dev/null 2>&-", ""),
        (">/dev/null 2>&1 <&-", ""),
        (">/dev/full 2>/dev/null", "(No space left on device): standard output\n  free some space"),
        ("2>/dev/null | head -c 1 >/dev/null", "(Broken pipe): standard output\n  the program that reads"),
        (">&- 2>/dev/null", "(it is closed): standard output\n  leave it open"),
        (">&- 2>&- <&-", "(it is closed): standard output\n  leave it open"),
        ("1</dev/null 2>/dev/null", "(Bad file descriptor): standard output\n  redirect"),
    ],
)
def test_a_stream_that_cannot_be_written_ends_nothing_and_is_reported(
    tmp_path_factory: pytest.TempPathFactory, redirection: str, lost: str
) -> None:
    log = tmp_path_factory.mktemp("streams") / "log"
    done = subprocess.run(
        [BASH, "-c", f'set -o pipefail; "$0" -c "$1" "$2" {redirection}', sys.executable, PROGRAM, log],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        b"",
        b"",
    )  # 120: Python could not flush a stream
    first, _, rest = log.read_text(encoding="utf-8").partition("\n")
    assert int(first.removeprefix("complete ")) > 2  # the place of no standard stream
    assert rest.startswith("results could not be written " + lost if lost else "")
    assert bool(rest) == bool(lost)


def test_a_standard_output_that_is_closed_is_refused_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with standard_streams.guarded() as check, pytest.raises(StandardOutputLost, match="it is closed"):
        check()
