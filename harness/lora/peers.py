"""This converter beside upstream's and the gguf package, on one file: ``python -m harness.lora.peers FILE TYPE``.

Each runs in a process of its own, so that its memory is its own. Time is from start to end of that process, the
start of Python and the loading of the library included.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from harness.formats import gguf as simple
from harness.formats import reader
from harness.lora.compare import compare
from harness.lora.convert import convert
from harness.lora.maker import maker
from harness.quantiser import newest_build
from sdcpp import build, library
from sdcpp.errors import LibraryUnusable
from sdcpp.run import run

WHO = ("ours", "upstream", "gguf-py")


def upstream(folder: Path, source: Path, target: Path, kind: str) -> None:
    """Convert with the library's own ``convert``. Raises LibraryUnusable if it says that it failed."""
    loaded = library.load(build.read(folder))
    function = loaded.handle.convert
    function.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_int, ctypes.c_char_p, ctypes.c_bool]
    function.restype = ctypes.c_bool
    number = loaded.enum(f"SD_TYPE_{kind}")
    if not function(os.fsencode(source), b"", os.fsencode(target), number, b"", False):
        raise LibraryUnusable("upstream's convert failed", source, "see its log")


def package(source: Path, target: Path, kind: str) -> None:
    """Convert with the gguf package, which takes all tensors at once."""
    tensors = {name: t.values().astype(np.float32) for name, t in reader.read(source).tensors.items()}
    simple.write(target, tensors, kind)


def one(who: str, source: Path, target: Path, kind: str) -> None:
    """Convert with one of WHO and print the peak memory in MB, of the process and of its largest child."""
    folder = newest_build()
    if folder is None:
        raise LibraryUnusable("no library is built", "the cache", "run sdcpp build first")
    if who == "ours":
        with maker(folder) as made:
            convert(source, target, [kind], made)
    elif who == "upstream":
        upstream(folder, source, target, kind)
    else:
        package(source, target, kind)
    unit = 1 if sys.platform == "darwin" else 1024
    usage = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print("peak", *(round(n * unit / 1e6) for n in usage))


def main(argv: list[str] | None = None) -> None:
    """Print a Markdown table of all three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("type")
    parser.add_argument("--one", choices=WHO)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--skip-loss", action="store_true", help="only time, memory and size")
    arguments = parser.parse_args(argv)
    if arguments.one:
        one(arguments.one, arguments.file, arguments.output, arguments.type)
        return
    print(
        "| converter | seconds | CPU seconds | peak memory | size | loss in ΔW |\n|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory(dir=arguments.file.parent) as folder:
        for who in WHO:
            target = Path(folder) / f"{who}.gguf"
            words = [sys.executable, "-m", "harness.lora.peers", arguments.file, arguments.type]
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            start = time.perf_counter()
            done = run([*words, "--one", who, "--output", target], quiet=True)
            seconds = time.perf_counter() - start
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if done.status:
                print(f"| {who} | failed: {done.output.strip().splitlines()[-1][:90]} | | | | |")
                continue
            peak = next(line for line in done.output.splitlines() if line.startswith("peak")).split()[1:]
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            loss = "" if arguments.skip_loss else f"{compare(arguments.file, target).relative:.4%}"
            size = target.stat().st_size / 1e6
            print(f"| {who} | {seconds:.1f} | {cpu:.1f} | {' + '.join(peak)} MB | {size:.2f} MB | {loss} |")


if __name__ == "__main__":
    main()
