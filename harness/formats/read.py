"""Read a tensor file. Its first bytes tell the container; its name does not matter."""

from __future__ import annotations

from pathlib import Path

from harness.formats import foreign_file, read_ckpt, read_gguf, read_safetensors
from harness.formats.tensor import File
from harness.text import did_you_mean
from sdcpp.errors import FileInvalid
from sdcpp.input_file import require_file


def read_tensors(path: Path) -> File:
    """Return a file's tensors and metadata. Raises FileInvalid and UnsafePickle."""
    try:
        require_file(path)
        with path.open("rb") as file:
            head = file.read(foreign_file.HEAD)
    except OSError as error:
        near = _near(path) if isinstance(error, FileNotFoundError) else ""
        raise FileInvalid(f"cannot be read ({error.strerror})", path, f"check the path{near}") from error
    if head[:4] == b"GGUF":
        return read_gguf.read(path)
    if head[:4] == b"PK\x03\x04":
        return read_ckpt.read(path)
    # A safetensors file begins with the length of its header, which begins with a brace.
    if head[8:9] != b"{" and (foreign := foreign_file.recognised(head)):
        raise FileInvalid(f"this is {foreign.what}, not a LoRA or a model", path, foreign.remedy)
    return read_safetensors.read(path)


def _near(path: Path) -> str:
    """Return the name that is most like that of a missing file, of those in its folder; see ``did_you_mean``."""
    try:
        return did_you_mean(path.name, (each.name for each in path.parent.iterdir()))
    except OSError:
        return ""
