from __future__ import annotations

import pytest

from harness.running.crash_report import crash_report, without_folder

STDERR = """loading model
/home/me/trees/x/ggml/src/ggml.c:12: GGML_ASSERT(a/b) failed
#1  0x00007f9993bdca70 in ggml_abort () from /home/me/libfake.so
/home/me/libfake.so(ggml_abort+0x15b)[0x7fa77c05c8ab]
/home/me/trees/x/ggml/src/ggml.c:12: GGML_ASSERT(a/b) failed
"""


def test_a_report_names_the_cause_once_and_no_frame_of_a_backtrace() -> None:
    assert crash_report(STDERR) == "ggml/src/ggml.c:12: GGML_ASSERT(a/b) failed"
    assert crash_report("loading model\n") == ""


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (
            "/a/b/trees/x/ggml/src/ggml.c:12: GGML_ASSERT(a/b) failed",
            "ggml/src/ggml.c:12: GGML_ASSERT(a/b) failed",
        ),
        ("/a/b/trees/x/src/lora.hpp:498: GGML_ASSERT(n) failed", "src/lora.hpp:498: GGML_ASSERT(n) failed"),
        ("/a/b/trees/x/ggml_extend.hpp:7: GGML_ASSERT(n) failed", "ggml_extend.hpp:7: GGML_ASSERT(n) failed"),
        ("what():  std::bad_alloc", "what():  std::bad_alloc"),
    ],
)
def test_source_files_are_named_without_folders_of_this_machine(said: str, kept: str) -> None:
    assert without_folder(said) == kept
