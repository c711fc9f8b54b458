"""The hashes by which sites and programs know the files of models and LoRAs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.formats.tensor import SIZES, File, Tensor
from sdcpp.errors import FileInvalid

#: The number of bytes that are read at a time.
PIECE = 1 << 20
#: The window of the old hash of stable-diffusion-webui: its first byte, and its length.
WINDOW_START, WINDOW_LENGTH = 0x100000, 0x10000
#: The entries of metadata in which sd-scripts stores its hashes.
MODEL_HASH, LEGACY_HASH = "sshs_model_hash", "sshs_legacy_hash"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashes:
    """The hashes of a file, in lower-case hexadecimal digits.

    - ``sha256`` is that of the whole file.
    - ``auto_v1`` is the old hash of stable-diffusion-webui: 8 digits of the SHA-256 of 64 KiB from 1 MiB on.
    - ``model_hash`` is the SHA-256 of all that follows the header of a safetensors file. It does not change if only
      metadata change. sd-scripts stores it as sshs_model_hash, and model sites show 12 digits of it as AutoV3.
    - ``legacy_hash`` is what sd-scripts stores as sshs_legacy_hash: the old hash of the file as the package safetensors
      would write it with the entries of metadata that begin with "ss_" only.

    The last two are None for other containers.

    Source: ``precalculate_safetensors_hashes`` of library/train_util.py in sd-scripts.
    """

    sha256: str
    auto_v1: str
    model_hash: str | None
    legacy_hash: str | None

    @property
    def auto_v2(self) -> str:
        """The first 10 digits of the SHA-256 of the file."""
        return self.sha256[:10]

    @property
    def auto_v3(self) -> str | None:
        """The first 12 digits of ``model_hash``."""
        return self.model_hash[:12] if self.model_hash else None

    def as_json(self) -> dict[str, str | None]:
        """Return all hashes by name."""
        return {
            "sha256": self.sha256,
            "auto_v1": self.auto_v1,
            "auto_v2": self.auto_v2,
            "auto_v3": self.auto_v3,
            MODEL_HASH: self.model_hash,
            LEGACY_HASH: self.legacy_hash,
        }


def hashes(file: File, progress: Callable[[int], None] = lambda _: None) -> Hashes:
    """Return the hashes of a file, which is read once. ``progress`` is called with the number of bytes read so far.

    Raises FileInvalid if the file cannot be read.
    """
    whole, data = hashlib.sha256(), hashlib.sha256()
    start = _data_start(file.path) if file.container == "safetensors" else None
    at = 0
    for piece in _pieces(file.path):
        whole.update(piece)
        if start is not None and at + len(piece) > start:
            data.update(piece[max(0, start - at) :])
        at += len(piece)
        progress(at)
    return Hashes(
        sha256=whole.hexdigest(),
        auto_v1=hashlib.sha256(_bytes_of(file.path, WINDOW_START, WINDOW_LENGTH)).hexdigest()[:8],
        model_hash=data.hexdigest() if start is not None else None,
        legacy_hash=_legacy(file) if start is not None else None,
    )


def _data_start(path: Path) -> int:
    """Return the byte at which the data of a safetensors file begin."""
    return 8 + int.from_bytes(_bytes_of(path, 0, 8), "little")


def _pieces(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece
    except OSError as error:
        raise FileInvalid(f"cannot be read ({error.strerror})", path, "check the path") from error


def _bytes_of(path: Path, start: int, length: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(length)
    except OSError as error:
        raise FileInvalid(f"cannot be read ({error.strerror})", path, "check the path") from error


def _legacy(file: File) -> str:
    """Return the old hash of the file that the package safetensors would write with metadata of training only.

    The package stores wide types first, and tensors of one type by name. The order of the metadata is not defined, but
    only the length of the header matters, unless it is longer than 1 MiB.
    """
    ordered = sorted(file.tensors.values(), key=lambda tensor: (-_width(tensor), tensor.name))
    position = 8 + _header_length(file, ordered)
    found = bytearray()
    for tensor in ordered:
        first = max(0, WINDOW_START - position)
        last = min(tensor.nbytes, WINDOW_START + WINDOW_LENGTH - position)
        if first < last:
            found += tensor.raw(first, last - first).tobytes()
        position += tensor.nbytes
    return hashlib.sha256(found).hexdigest()[:8]


def _width(tensor: Tensor) -> int:
    return SIZES[tensor.kind][1]


def _header_length(file: File, ordered: list[Tensor]) -> int:
    """Return the length of the header with its padding."""
    header: dict[str, object] = {}
    training = {key: str(entry.value) for key, entry in file.metadata.items() if key.startswith("ss_")}
    header["__metadata__"] = training
    at = 0
    for tensor in ordered:
        offsets = [at, at + tensor.nbytes]
        header[tensor.name] = {"dtype": tensor.kind, "shape": list(tensor.shape), "data_offsets": offsets}
        at += tensor.nbytes
    length = len(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode())
    return length + -length % 8
