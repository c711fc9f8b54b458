"""Read a tensor file. Its first bytes tell the container; its name does not matter."""

from __future__ import annotations

from pathlib import Path

from harness.formats import read_ckpt, read_gguf, read_safetensors
from harness.formats.tensor import File, broken
from sdcpp.errors import FileInvalid
from sdcpp.input_file import require_file


def read_tensors(path: Path) -> File:
    """Return a file's tensors and metadata. Raises FileInvalid and UnsafePickle."""
    try:
        require_file(path)
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise FileInvalid(f"cannot be read ({error.strerror})", path, "check the path") from error
    if head[:4] == b"GGUF":
        return read_gguf.read(path)
    if head[:4] == b"PK\x03\x04":
        return read_ckpt.read(path)
    if head[:1] == b"\x80" and head[8:9] != b"{":
        raise broken(path, "a checkpoint from before PyTorch 1.6; save it again with a newer PyTorch", 0)
    if not head:
        raise broken(path, "the file is empty", 0)
    return read_safetensors.read(path)
