"""One converter in a process of its own: ``python -m harness.studies.conversion.peer WHO BUILD_FOLDER FILE OUT TYPE``.

Nothing is imported but what that converter needs, so that time and memory are its own.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from pathlib import Path

from sdcpp.errors import LibraryUnusable


def ours(folder: Path, source: Path, target: Path, kind: str) -> None:
    """Convert as ``sdcpp lora convert`` does."""
    from harness.converter.convert import convert  # noqa: PLC0415 - each peer pays for its own imports
    from harness.quantising.package_quantiser import open_quantiser  # noqa: PLC0415 - each peer pays for its own imports

    with open_quantiser(folder) as made:
        convert(source, target, [kind], made)


def upstream(folder: Path, source: Path, target: Path, kind: str) -> None:
    """Convert with the library's own ``convert``. Raises LibraryUnusable if it says that it failed."""
    from sdcpp.binding import build_folder  # noqa: PLC0415 - each peer pays for its own imports

    build = build_folder.read(folder)
    function = build.open_library().convert
    function.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_int, ctypes.c_char_p, ctypes.c_bool]
    function.restype = ctypes.c_bool
    number = build.read_table()["enumerators"][f"SD_TYPE_{kind}"]
    if not function(os.fsencode(source), b"", os.fsencode(target), number, b"", False):
        raise LibraryUnusable("upstream's convert failed", source, "see its log")


def package(_: Path, source: Path, target: Path, kind: str) -> None:
    """Convert with the gguf package, which takes all tensors at once."""
    import numpy as np  # noqa: PLC0415 - each peer pays for its own imports

    from harness.formats import gguf_types, read_safetensors  # noqa: PLC0415 - each peer pays for its own imports

    tensors = {n: t.values().astype(np.float32) for n, t in read_safetensors.read(source).tensors.items()}
    gguf_types.write(target, tensors, kind)


WHO = {"ours": ours, "upstream": upstream, "gguf-py": package}


def main(argv: list[str]) -> None:
    """Convert and print the peak memory in MB, of the process and of its largest child."""
    who, folder, source, target, kind = argv
    WHO[who](Path(folder), Path(source), Path(target), kind)
    unit = 1 if sys.platform == "darwin" else 1024
    usage = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print("peak", *(round(n * unit / 1e6) for n in usage))


if __name__ == "__main__":
    main(sys.argv[1:])
