"""The peak memory of a graphics card while something runs on it, as nvidia-smi reports it."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sdcpp.process import start, which

#: How often nvidia-smi looks, in milliseconds.
EVERY = 20


@contextmanager
def watched() -> Iterator[list[int]]:
    """Yield a list that gets the bytes in use on the first visible card, also those of other programs, again and again.

    It stays empty without nvidia-smi. Looking takes time, so nothing is timed meanwhile.
    """
    seen: list[int] = []
    program = which("nvidia-smi")
    if program is None:
        yield seen
        return
    card = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
    fields = ("--query-gpu=memory.used", "--format=csv,noheader,nounits", f"--loop-ms={EVERY}")
    process = start([program, f"--id={card}", *fields], stderr=subprocess.DEVNULL)
    output = process.stdout
    assert output is not None  # noqa: S101 - it is a pipe

    def read() -> None:
        seen.extend(int(line) << 20 for line in output if line.strip().isdigit())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield seen
    finally:
        process.kill()
        reader.join()
        process.communicate()
