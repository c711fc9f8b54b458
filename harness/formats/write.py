"""Write tensor files. Names, shapes and types come first; the data are asked for one tensor at a time."""

from __future__ import annotations

import json
import math
import os
import struct
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import gguf
import numpy as np
from numpy.typing import NDArray

from harness.formats import read_ckpt, read_gguf, torch_pickle
from harness.formats.tensor import SAFETENSORS, Bytes, Metadata, MetadataValue, kind_of, stored_bytes
from harness.text import did_you_mean
from sdcpp.errors import FileInvalid, TypeUnavailable

ALIGNMENT = 32
#: The longest name of a tensor in bytes. stable-diffusion.cpp builds ggml with GGML_MAX_NAME=128, which includes the
#: final zero byte.
LONGEST_NAME = 127
#: The metadata key that lists the keys which this project added to a GGUF file. Converting the file back drops them.
DERIVED = "sdcpp.derived"
#: The metadata key for the types of values that are not text, in containers that hold text only.
TYPES = "sdcpp.types"
#: The suffixes of each container's files. The first one is the usual one.
SUFFIXES = {"safetensors": (".safetensors",), "gguf": (".gguf",), "ckpt": (".ckpt", ".pt", ".pth")}
_CONTAINERS = {suffix: container for container, suffixes in SUFFIXES.items() for suffix in suffixes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A tensor to write.

    ``number`` is ggml's number of the type and ``bytes`` the size of the data. Both are needed only for a type that the
    gguf package does not know.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    number: int | None = None
    bytes: int | None = None

    @property
    def nbytes(self) -> int:
        """The number of bytes that will be written."""
        return stored_bytes(self.kind, math.prod(self.shape)) if self.bytes is None else self.bytes


Data = Iterable[Bytes]
Fill = Callable[[Spec, int | None], Data | None]


def container_of(path: Path) -> str:
    """Return the container that a file's suffix names. Raises FileInvalid for an unknown suffix."""
    try:
        return _CONTAINERS[path.suffix.lower()]
    except KeyError:
        raise FileInvalid(
            f"suffix {path.suffix!r} names no container",
            path,
            f"use one of {', '.join(_CONTAINERS)}{did_you_mean(path.suffix, _CONTAINERS)}",
        ) from None


def write_container(
    path: Path, container: str, specs: Sequence[Spec], metadata: Metadata, fill: Fill
) -> None:
    """Write a file.

    ``fill(spec, at)`` is called for each tensor in turn and yields its stored bytes in pieces. It may also return None
    if something else, such as another process, writes the bytes at byte ``at`` of the file. ``at`` is None in a ckpt,
    where that is not possible.

    Raises TypeUnavailable for a type that the container cannot hold, and FileInvalid for a name that is too long.
    """
    _WRITERS[container](path, specs, metadata, fill)


def write_arrays(path: Path, container: str, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Write arrays by name to a file without metadata, each in the type of its dtype."""
    specs = [Spec(name=name, shape=array.shape, kind=kind_of(array)) for name, array in arrays.items()]
    write_container(path, container, specs, {}, lambda spec, _: [as_bytes(arrays[spec.name])])


def as_bytes(array: NDArray[np.generic]) -> Bytes:
    """Return an array's elements as bytes, row by row."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _safetensors(path: Path, specs: Sequence[Spec], metadata: Metadata, fill: Fill) -> None:
    header: dict[str, Any] = {}
    texts = as_texts(metadata)
    if texts:
        header["__metadata__"] = texts
    at = 0
    for spec in specs:
        if spec.kind not in SAFETENSORS:
            raise TypeUnavailable("safetensors cannot hold a type", spec.kind, "choose F32, F16 or BF16")
        header[spec.name] = {
            "dtype": spec.kind,
            "shape": list(spec.shape),
            "data_offsets": [at, at + spec.nbytes],
        }
        at += spec.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for spec in specs:
            _pour(out, spec, fill)


def _gguf(path: Path, specs: Sequence[Spec], metadata: Metadata, fill: Fill) -> None:
    shapes: dict[str, list[int]] = {}
    infos = bytearray()
    at = 0
    for spec in specs:
        if len(spec.name.encode()) > LONGEST_NAME:
            raise FileInvalid(
                f"a tensor's name of {len(spec.name.encode())} bytes is longer than ggml's limit of {LONGEST_NAME}",
                f"{spec.name[:40]}...",
                "write a .safetensors file instead",
            )
        shape = list(spec.shape)
        if not 1 <= len(shape) <= read_gguf.MOST_DIMENSIONS:
            shapes[spec.name] = shape
            spare = len(shape) - read_gguf.MOST_DIMENSIONS
            shape = [math.prod(shape[: spare + 1]), *shape[spare + 1 :]] if shape else [1]
        number = spec.number if spec.number is not None else _number(spec.kind)
        infos += _text(spec.name) + struct.pack("<I", len(shape))
        infos += struct.pack(f"<{len(shape)}Q", *reversed(shape)) + struct.pack("<IQ", number, at)
        at += spec.nbytes + -spec.nbytes % ALIGNMENT
    entries = as_entries(metadata)
    if shapes:
        entries[read_gguf.SHAPES] = MetadataValue(
            type="STRING", value=json.dumps(shapes, separators=(",", ":"))
        )
    head = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(specs), len(entries)))
    for key, entry in entries.items():
        head += _text(key) + _packed(entry)
    head += infos
    head += bytes(-len(head) % ALIGNMENT)
    with path.open("wb") as out:
        out.write(head)
        for spec in specs:
            _pour(out, spec, fill)
            out.write(bytes(-spec.nbytes % ALIGNMENT))


def _number(kind: str) -> int:
    try:
        return int(gguf.GGMLQuantizationType[kind])
    except KeyError:
        raise TypeUnavailable("GGUF cannot hold a type", kind, "choose another --type") from None


def _text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


_CODES = {name: (code, layout) for code, (name, layout) in read_gguf.SCALARS.items()}


def _packed(entry: MetadataValue) -> bytes:
    """Return a metadata value as GGUF stores it: the number of its type, then the value."""
    array, _, inner = entry.type.partition(":")
    if not inner:
        return struct.pack("<I", _code(array)) + _plain(array, entry.value)
    values = list(entry.value)  # type: ignore[call-overload]
    head = struct.pack("<IIQ", 9, _code(inner), len(values))
    return head + b"".join(_plain(inner, value) for value in values)


def _code(kind: str) -> int:
    return 8 if kind == "STRING" else _CODES[kind][0]


def _plain(kind: str, value: Any) -> bytes:
    return _text(str(value)) if kind == "STRING" else struct.pack(_CODES[kind][1], value)


def _ckpt(path: Path, specs: Sequence[Spec], metadata: Metadata, fill: Fill) -> None:
    for spec in specs:
        if spec.kind not in torch_pickle.STORAGES:
            raise TypeUnavailable("a ckpt cannot hold a type", spec.kind, "choose F32, F16 or BF16")
    words = torch_pickle.state_dict((spec.name, spec.shape, spec.kind) for spec in specs)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        # A ZipInfo has a fixed date, so that equal tensors make equal files.
        archive.writestr(zipfile.ZipInfo("archive/data.pkl"), words)
        for number, spec in enumerate(specs):
            with archive.open(f"archive/data/{number}", "w", force_zip64=spec.nbytes > 1 << 31) as out:
                _pour(out, spec, fill)
        archive.writestr(zipfile.ZipInfo("archive/version"), "3\n")
        if metadata:
            stored = {key: [entry.type, entry.value] for key, entry in metadata.items()}
            archive.writestr(zipfile.ZipInfo(f"archive/{read_ckpt.METADATA}"), json.dumps(stored))


_WRITERS = {"safetensors": _safetensors, "gguf": _gguf, "ckpt": _ckpt}


def _pour(out: IO[bytes], spec: Spec, fill: Fill) -> None:
    """Write one tensor's data, or skip the place of data that something else writes."""
    written = 0
    data = fill(spec, out.tell() if out.seekable() else None)
    if data is None:
        out.seek(spec.nbytes, os.SEEK_CUR)
        return
    for piece in data:
        out.write(np.ascontiguousarray(piece).data.cast("B"))
        written += piece.nbytes
    if written != spec.nbytes:
        raise FileInvalid(
            f"tensor {spec.name}: {written} bytes were made instead of {spec.nbytes}",
            spec.kind,
            "report this bug",
        )


def as_texts(metadata: Metadata) -> dict[str, str]:
    """Return metadata as text, which is all that safetensors holds.

    Other values become JSON. The key TYPES keeps their types.
    """
    texts, types = {}, {}
    for key, entry in metadata.items():
        if entry.type == "STRING":
            texts[key] = str(entry.value)
        else:
            texts[key], types[key] = json.dumps(entry.value), entry.type
    if types:
        texts[TYPES] = json.dumps(types)
    return texts


def as_entries(metadata: Metadata) -> dict[str, MetadataValue]:
    """Return metadata with the values that ``as_texts`` turned into text restored."""
    entries = dict(metadata)
    noted = entries.pop(TYPES, None)
    if noted is not None:
        try:
            for key, kind in json.loads(str(noted.value)).items():
                entries[key] = MetadataValue(type=kind, value=json.loads(str(entries[key].value)))
                _packed(entries[key])
        except (ValueError, TypeError, KeyError, AttributeError, struct.error):
            return dict(metadata)  # another program uses the key
    return entries
