"""Read the header of a GGUF file and check all that it says against the file.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The reader of the gguf package trusts the file. This
one names the tensor and the byte at which a file is damaged.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import IO

import gguf

from harness.formats.tensor import SIZES, File, MetadataValue, Tensor, broken, cut_off

#: The metadata key for the shapes of tensors with no dimension or more than four, which GGUF cannot hold.
SHAPES = "sdcpp.shapes"
MOST_DIMENSIONS = 4
_NAMES = {int(t): t.name for t in gguf.GGML_QUANT_SIZES}
#: The name and the struct format of each type of metadata value, by GGUF's number.
SCALARS = {
    0: ("UINT8", "<B"),
    1: ("INT8", "<b"),
    2: ("UINT16", "<H"),
    3: ("INT16", "<h"),
    4: ("UINT32", "<I"),
    5: ("INT32", "<i"),
    6: ("FLOAT32", "<f"),
    7: ("BOOL", "<?"),
    10: ("UINT64", "<Q"),
    11: ("INT64", "<q"),
    12: ("FLOAT64", "<d"),
}
_STRING, _ARRAY = 8, 9


def read(path: Path) -> File:
    """Return the tensors and metadata of a file of version 2 or 3.

    Raises FileInvalid, which names the tensor or metadata entry and the byte.
    """
    with path.open("rb") as file:
        return _Reader(path, file).file()


class _Reader:
    """Reads a file from front to back."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path, self._file, self._size = path, file, path.stat().st_size
        self._at = 0
        self._what = "the header"

    def file(self) -> File:
        if self._take(4) != b"GGUF":
            raise broken(self._path, "this is no GGUF file", 0)
        version = self._number("<I")
        if version not in (2, 3):
            swapped = version == 3 << 24
            raise broken(
                self._path, f"GGUF version {version}{' (big endian)' if swapped else ''} is not supported", 4
            )
        tensors, entries = self._number("<q"), self._number("<q")
        # The shortest metadata entry takes 13 bytes, the shortest tensor header 24.
        if not (0 <= tensors <= self._size // 24 and 0 <= entries <= self._size // 13):
            raise broken(
                self._path, f"{self._size} bytes cannot hold {tensors} tensors and {entries} entries", 8
            )
        metadata: dict[str, MetadataValue] = {}
        for number in range(entries):
            self._what = f"entry {number}"
            key = self._text()
            if key in metadata or not key.isprintable() or not key:
                raise broken(self._path, f"entry {key!r} occurs twice, or its key is not printable", self._at)
            self._what = f"entry {key}"
            metadata[key] = self._entry()
        infos = [self._info(number) for number in range(tensors)]
        return self._checked(metadata, infos)

    def _checked(
        self, metadata: dict[str, MetadataValue], infos: list[tuple[str, tuple[int, ...], str, int]]
    ) -> File:
        entry = metadata.get("general.alignment", MetadataValue(type="UINT32", value=32))
        alignment = entry.value
        if entry.type != "UINT32" or not isinstance(alignment, int) or alignment % 8 or not alignment:
            raise broken(self._path, f"alignment {alignment!r} ({entry.type}) is impossible", self._at)
        if alignment > 1 << 20:
            raise broken(self._path, f"alignment {alignment} is impossible", self._at)
        start = self._at + -self._at % alignment
        shapes = self._shapes(metadata)
        found: dict[str, Tensor] = {}
        for name, shape, kind, offset in infos:
            if name in found:
                raise broken(self._path, f"tensor {name} occurs twice", self._at)
            tensor = Tensor(name=name, shape=shape, kind=kind, path=self._path, offset=start + offset)
            if offset % alignment:
                raise tensor.invalid(f"is not aligned to {alignment} bytes")
            if tensor.offset + tensor.nbytes > self._size:
                raise cut_off(
                    self._path,
                    f"tensor {name} would end at byte {tensor.offset + tensor.nbytes}, "
                    f"the file ends at {self._size}",
                )
            original = shapes.get(name)
            if original is not None and math.prod(original) == tensor.size:
                tensor = Tensor(name=name, shape=original, kind=kind, path=self._path, offset=tensor.offset)
            found[name] = tensor
        end = start
        for tensor in sorted(found.values(), key=lambda t: (t.offset, t.nbytes)):
            if tensor.offset < end and tensor.nbytes:
                raise tensor.invalid("overlaps the tensor before it")
            if tensor.offset >= end + alignment:
                raise tensor.invalid(f"the {tensor.offset - end} bytes before it belong to no tensor")
            end = max(end, tensor.offset + tensor.nbytes)
        if self._size >= end + alignment:
            raise broken(self._path, f"{self._size - end} bytes belong to no tensor", end)
        return File(path=self._path, container="gguf", tensors=found, metadata=metadata)

    def _shapes(self, metadata: dict[str, MetadataValue]) -> dict[str, tuple[int, ...]]:
        entry = metadata.pop(SHAPES, None)
        if entry is None:
            return {}
        try:
            return {
                str(name): tuple(int(n) for n in shape)
                for name, shape in json.loads(str(entry.value)).items()
            }
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise broken(
                self._path, f"entry {SHAPES} is not a mapping of names to shapes", self._at
            ) from error

    def _info(self, number: int) -> tuple[str, tuple[int, ...], str, int]:
        self._what = f"the header of tensor {number}"
        name = self._text()
        self._what = f"tensor {name!r}"
        count = self._number("<I")
        if count > MOST_DIMENSIONS:
            raise broken(self._path, f"tensor {name}: {count} dimensions", self._at - 4)
        shape = tuple(reversed([self._number("<q") for _ in range(count)]))
        if any(n < 0 for n in shape) or math.prod(shape) >= 1 << 62:
            raise broken(self._path, f"tensor {name}: its shape is {list(shape)}", self._at)
        code = self._number("<I")
        if code not in _NAMES:
            raise broken(self._path, f"tensor {name}: type number {code} is not known", self._at - 4)
        kind = _NAMES[code]
        block = SIZES[kind][0]
        if (shape[-1] if shape else 1) % block:
            raise broken(
                self._path,
                f"tensor {name}: rows of {shape[-1] if shape else 1} are not whole blocks of {block} ({kind})",
                self._at,
            )
        return name, shape, kind, self._number("<q")

    def _entry(self) -> MetadataValue:
        code = self._number("<I")
        if code != _ARRAY:
            return MetadataValue(type=self._type(code), value=self._value(code))
        inner, count = self._number("<I"), self._number("<Q")
        kind = self._type(inner)
        least = 8 if inner == _STRING else struct.calcsize(SCALARS[inner][1])
        if count * least > self._size - self._at:
            raise broken(self._path, f"{self._what}: an array of {count} does not fit", self._at)
        return MetadataValue(type=f"ARRAY:{kind}", value=[self._value(inner) for _ in range(count)])

    def _type(self, code: int) -> str:
        if code == _STRING:
            return "STRING"
        if code not in SCALARS:
            raise broken(self._path, f"{self._what}: value type {code} is not known", self._at - 4)
        return SCALARS[code][0]

    def _value(self, code: int) -> object:
        return self._text() if code == _STRING else self._number(SCALARS[code][1])

    def _text(self) -> str:
        length = self._number("<Q")
        try:
            return self._take(length).decode("utf-8")
        except UnicodeDecodeError as error:
            raise broken(self._path, f"{self._what}: a text is no UTF-8", self._at - length) from error

    def _number(self, layout: str) -> int:
        [value] = struct.unpack(layout, self._take(struct.calcsize(layout)))
        return value  # type: ignore[no-any-return]

    def _take(self, count: int) -> bytes:
        if count > self._size - self._at:
            raise broken(
                self._path,
                f"{self._what}: {count} bytes are needed, {self._size - self._at} are left",
                self._at,
            )
        self._at += count
        return self._file.read(count)
