"""Find the lines of standard error that say why a library crashed."""

from __future__ import annotations

import re

#: What a crash prints: ggml's assertions and aborts, the C++ runtime, the C library, sanitizers.
_CAUSE = re.compile(
    r"GGML_ASSERT|GGML_ABORT|ggml_abort|\.(?:c|cpp|h|hpp):\d+: |"
    r"terminate called|what\(\):|[Aa]ssertion|free\(\)|malloc|corrupt|Sanitizer|runtime error:|fatal"
)
#: A frame of a backtrace, as a debugger or older ggml prints it: addresses and folders of this machine.
_FRAME = re.compile(r"^#\d+ |\[0x[0-9a-f]+\]$")
#: Source files below the upstream tree; the last pattern is for older revisions, whose sources are in no folder.
_SOURCES = (r"(ggml/(?:src|include)/\S+:\d+)", r"(src/\S+:\d+)", r"([\w.-]+:\d+)")


def crash_report(stderr: str) -> str:
    """Return the lines that name the cause, each once, without folders of this machine; "" if there are none."""
    causes = [line for line in stderr.splitlines() if _CAUSE.search(line) and not _FRAME.search(line.strip())]
    return "\n".join(dict.fromkeys(without_folder(line) for line in causes))


def without_folder(line: str) -> str:
    """Return a line in which the absolute path of a source file starts at the upstream tree."""
    for source in _SOURCES:
        if path := re.search(rf"[./]\S*/{source}", line):
            return line.replace(path.group(), path.group(1)).strip()
    return line.strip()
