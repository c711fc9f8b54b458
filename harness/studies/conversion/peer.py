"""Convert a LoRA file with one converter, in a separate process whose time and memory are measured.

Run it as ``python -m harness.studies.conversion.peer CONVERTER BUILD_FOLDER FILE OUT TYPE``. It imports only the
modules that this converter needs, because imports count towards its time and memory.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from harness.child_process.memory import peak_memory, peak_memory_of_children
from sdcpp.errors import LibraryUnusable


def ours(folder: Path, source: Path, target: Path, kind: str) -> None:
    """Convert ``source`` to type ``kind`` with this project's converter, as ``sdcpp lora convert`` does."""
    from harness.converter.convert import convert  # noqa: PLC0415 - each peer pays for its own imports
    from harness.quantising.package_quantiser import open_quantiser  # noqa: PLC0415 - each peer pays for its own imports

    with open_quantiser(folder) as quantiser:
        convert(source, target, [kind], quantiser)


def upstream(folder: Path, source: Path, target: Path, kind: str) -> None:
    """Convert ``source`` to type ``kind`` with the library's function ``convert``.

    Raises LibraryUnusable if the function returns false.
    """
    from sdcpp.binding import build_folder  # noqa: PLC0415 - each peer pays for its own imports

    build = build_folder.read(folder)
    function = build.open_library().convert
    function.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_int, ctypes.c_char_p, ctypes.c_bool]
    function.restype = ctypes.c_bool
    number = build.read_table()["enumerators"][f"SD_TYPE_{kind}"]
    if not function(os.fsencode(source), b"", os.fsencode(target), number, b"", False):
        raise LibraryUnusable("the library's convert failed", source, "read its log above")


def package(_: Path, source: Path, target: Path, kind: str) -> None:
    """Convert ``source`` to type ``kind`` with the gguf package. All tensors are in memory at once."""
    import numpy as np  # noqa: PLC0415 - each peer pays for its own imports

    from harness.formats import gguf_types, read_safetensors  # noqa: PLC0415 - each peer pays for its own imports

    tensors = {n: t.values().astype(np.float32) for n, t in read_safetensors.read(source).tensors.items()}
    gguf_types.write(target, tensors, kind)


#: The converters by name.
CONVERTERS = {"ours": ours, "upstream": upstream, "gguf-py": package}


def main(argv: list[str]) -> None:
    """Convert, and print the peak memory in MB: of this process and of its largest child process."""
    converter, folder, source, target, kind = argv
    CONVERTERS[converter](Path(folder), Path(source), Path(target), kind)
    print("peak", *(round(peak / 1e6) for peak in (peak_memory(), peak_memory_of_children())))


if __name__ == "__main__":
    main(sys.argv[1:])
