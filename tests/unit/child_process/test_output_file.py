from __future__ import annotations

import os

from harness.child_process.output_file import OutputFile


def test_the_end_of_what_was_printed_since_the_last_skip() -> None:
    file = OutputFile()
    os.write(file.fileno(), b"before\n")
    assert file.tail() == "before\n"
    file.skip()
    assert file.tail() == ""
    os.write(file.fileno(), b"after\n")
    assert file.tail() == "after\n"
    os.write(file.fileno(), b"x" * 100_000 + b"end")
    assert file.tail().endswith("xend")
    assert len(file.tail()) < 100_000
    file.close()


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    file = OutputFile()
    os.write(file.fileno(), b"\xff!")
    assert file.tail() == "\N{REPLACEMENT CHARACTER}!"
    file.close()
