"""Read the state dict of a PyTorch checkpoint without executing anything.

Format: https://github.com/pytorch/pytorch/blob/main/torch/serialization.py (``_save``). The pickle is interpreted by
``pickle_opcodes``.
"""

from __future__ import annotations

import json
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.formats import foreign_file
from harness.formats.pickle_opcodes import Interpreter, View
from harness.formats.tensor import SIZES, File, MetadataValue, Tensor, broken, cut_off
from sdcpp.errors import FileInvalid

#: The member of the archive in which this project keeps metadata. torch has none for it.
METADATA = ".data/metadata.json"
#: In bytes. The pickle of a state dict takes about 150 bytes for a tensor.
LONGEST_PICKLE = 1 << 28
#: The most levels of dicts in dicts.
DEPTH = 8
#: What zipfile raises for damaged archives. RuntimeError stands for encryption and for unknown compression.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    RuntimeError,
    UnicodeDecodeError,
    EOFError,
    struct.error,
    zlib.error,
    OSError,
)


def read(path: Path) -> File:
    """Return a file's tensors and metadata.

    Raises FileInvalid, and UnsafePickle if the pickle needs anything but the building of tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(path, archive)
    except _ZIP_ERRORS as error:
        if not zipfile.is_zipfile(path):
            raise cut_off(path, "its directory, which is at the end, is missing") from error
        raise broken(path, f"the zip archive is damaged ({error})", 0) from error


def _read(path: Path, archive: zipfile.ZipFile) -> File:
    members = {info.filename: info for info in archive.infolist()}
    roots = [name.removesuffix("data.pkl") for name in members if name.endswith("data.pkl")]
    if len(roots) != 1:
        foreign = foreign_file.archive(list(members))
        raise FileInvalid(f"this is {foreign.what}, not a LoRA or a model", path, foreign.remedy)
    [root] = roots
    order = members.get(f"{root}byteorder")
    if order is not None and _content(archive, order, 16) != b"little":
        raise broken(path, "big-endian data are not supported", order.header_offset)
    info = members[f"{root}data.pkl"]
    if info.file_size > LONGEST_PICKLE:
        raise broken(path, f"the pickle of {info.file_size} bytes is too long", info.header_offset)
    state = Interpreter(path).run(_content(archive, info, LONGEST_PICKLE))
    views, texts = _flat(path, state)
    places: dict[str, int] = {}
    tensors = {}
    for name, view in views.items():
        member = members.get(f"{root}data/{view.storage.key}")
        if member is None:
            raise broken(path, f"tensor {name}: its data/{view.storage.key} is missing", 0)
        if member.filename not in places:
            places[member.filename] = _place(path, name, member)
            _checksum(archive, member)
        tensors[name] = _tensor(path, name, view, places[member.filename], member.file_size)
    metadata = {key: MetadataValue(type="STRING", value=value) for key, value in texts.items()}
    if f"{root}{METADATA}" in members:
        metadata |= _metadata(path, _content(archive, members[f"{root}{METADATA}"], LONGEST_PICKLE))
    return File(path=path, container="ckpt", tensors=tensors, metadata=metadata)


def _checksum(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Read a member to its end, where zipfile checks the checksum."""
    with archive.open(member) as file:
        while file.read(1 << 22):
            pass


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    with archive.open(info) as file:
        return file.read(most)


def _metadata(path: Path, text: bytes) -> dict[str, MetadataValue]:
    try:
        return {
            str(key): MetadataValue(type=str(kind), value=value)
            for key, (kind, value) in json.loads(text).items()
        }
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise broken(path, f"{METADATA} is not a mapping of keys to types and values", 0) from error


def _place(path: Path, name: str, member: zipfile.ZipInfo) -> int:
    """Return the byte of the file at which the data of an uncompressed member begin."""
    if member.compress_type != zipfile.ZIP_STORED:
        raise broken(path, f"tensor {name}: {member.filename} is compressed", member.header_offset)
    with path.open("rb") as file:
        file.seek(member.header_offset)
        head = file.read(30)
    if len(head) < 30 or head[:4] != b"PK\x03\x04":
        raise broken(path, f"tensor {name}: {member.filename} has no header", member.header_offset)
    names, extra = struct.unpack("<HH", head[26:30])
    return member.header_offset + 30 + int(names) + int(extra)


def _tensor(path: Path, name: str, view: View, place: int, stored: int) -> Tensor:
    width = SIZES[view.storage.kind][1]
    size = math.prod(view.shape)
    reach = 1 + sum((n - 1) * s for n, s in zip(view.shape, view.strides, strict=True)) if size else 0
    if view.storage.count * width != stored:
        raise broken(
            path,
            f"tensor {name}: its storage should have {view.storage.count} elements, but has {stored} bytes",
            place,
        )
    offset = place + view.start * width
    if (view.start + reach) * width > stored or offset + reach * width > path.stat().st_size:
        raise broken(
            path,
            f"tensor {name}: it ends at byte {(view.start + reach) * width} of a storage of {stored} bytes",
            offset,
        )
    dense, expected = [], 1
    for n in reversed(view.shape):
        dense.append(expected)
        expected *= n
    in_rows = not size or all(
        n == 1 or s == d for n, s, d in zip(view.shape, view.strides, reversed(dense), strict=True)
    )
    if not in_rows and reach != size:
        raise broken(
            path, f"tensor {name}: with strides {view.strides} its elements overlap or have gaps", offset
        )
    return Tensor(
        name=name,
        shape=view.shape,
        kind=view.storage.kind,
        path=path,
        offset=offset,
        strides=None if in_rows else view.strides,
    )


def _flat(path: Path, state: Any) -> tuple[dict[str, View], dict[str, str]]:
    """Return the tensors of a state dict, or of its entry ``state_dict``, and other values as text."""
    texts: dict[str, str] = {}
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        texts = {str(k): str(v) for k, v in state.items() if isinstance(v, str | int | float)}
        state = state["state_dict"]
    if not isinstance(state, dict):
        raise broken(path, f"the pickle holds a {type(state).__name__}, not a state dict", 0)
    views: dict[str, View] = {}
    for name, value in _leaves(path, state, "", DEPTH):
        if isinstance(value, View):
            if name in views:
                raise broken(path, f"tensor {name} occurs twice", 0)
            views[name] = value
        elif isinstance(value, str | int | float):
            texts[name] = str(value)
        elif value is not None:
            raise broken(path, f"entry {name} is a {type(value).__name__}, not a tensor", 0)
    return views, texts


def _leaves(path: Path, value: dict[Any, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    if not depth:
        raise broken(path, f"there are more than {DEPTH} levels of dicts at {prefix}", 0)
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, dict):
            yield from _leaves(path, item, f"{name}.", depth - 1)
        else:
            yield name, item
