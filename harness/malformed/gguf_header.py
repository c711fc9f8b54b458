"""Malformed GGUF files: truncated, and with wrong fields of the header and the metadata.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from typing import Unpack

from harness.malformed.edge_values import LIMITS, around
from harness.malformed.fields import gguf
from harness.malformed.fields.pieces import Pieces, concatenate, ends, replaced
from harness.malformed.malformed_file import WHOLE, WITHOUT, Answers, MalformedFile, malformed_file
from harness.malformed.sound_file import FEW, METADATA, SoundFile

#: The pair that stays valid if a tensor is malformed, by the number of the tensor: tensors 0 to 2 are the first pair, 3
#: to 5 the second.
SOUND = {**dict.fromkeys(range(3), "second"), **dict.fromkeys(range(3, 6), "first")}
#: Numbers of tensor types that ggml has removed.
REMOVED = (4, 31, 36)
#: Numbers of tensor types that exist in ggml, but not in adapter files.
INTERNAL = {"Q8_1": 9, "Q8_K": 15, "I8": 24, "I16": 25, "I32": 26, "I64": 27, "F64": 28}


def recipes(sound: SoundFile) -> Iterator[MalformedFile]:
    """Yield all recipes except those for the fields of a tensor, which are in ``gguf_tensors``."""
    yield from _cut(sound)
    yield from _header(sound)
    yield from _metadata(sound)
    yield from _alignment(sound)


def changed(
    sound: SoundFile,
    name: str,
    why: str,
    fields: Mapping[str, bytes],
    *,
    metadata: gguf.Metadata = METADATA,
    **answers: Unpack[Answers],
) -> MalformedFile:
    """Return the recipe of a valid file in which some pieces are replaced. The data stay aligned."""
    return malformed_file(
        "gguf",
        name,
        why,
        lambda: gguf.build_file(replaced(sound.gguf(metadata=metadata), fields)),
        **answers,
    )


def u32(value: int) -> bytes:
    """Return a 32-bit field."""
    return struct.pack("<I", value)


def u64(value: int) -> bytes:
    """Return a 64-bit field."""
    return struct.pack("<Q", value)


def _cut(sound: SoundFile) -> Iterator[MalformedFile]:
    """Yield truncated files: after each field of the header, of some metadata entries and tensors, and in the data."""
    parts = sound.gguf()
    file, places = concatenate(parts), ends(parts)
    cuts = {
        f"after-{label}": place
        for label, place in places.items()
        if re.match(r"magic|version|tensor|kv-|kv[03]-|kv[124].*(value|element2)|padding|t[05]-", label)
        and parts[label]
    }
    del cuts["after-t5-data"], cuts["after-t5-offset"]
    head, data = places["padding"], len(parts["t5-data"])
    cuts |= {
        "inside-magic": 2,
        "inside-version": 6,
        "inside-tensor-count": 12,
        "inside-kv-count": 20,
        "inside-kv0-text": places["kv0-text"] - 1,
        "inside-t0-name": places["t0-name"] - 5,
        "inside-t5-offset": places["t5-offset"] - 4,
        "one-byte-into-data": head + 1,
        "inside-t1-data": places["t1-data"] - len(parts["t1-data"]) // 2,
        "after-t2-data": places["t2-data"],
        "inside-t5-data": places["t5-data"] - data // 2,
        "one-byte-short": places["t5-data"] - 1,
    }
    cuts["before-padding"] = places["t5-offset"]
    if parts["padding"]:
        cuts["inside-padding"] = head - 1
    for name, place in cuts.items():
        if place >= len(file):
            continue
        whole = {"first"} if places["t2-data"] <= place else set()
        yield malformed_file(
            "gguf",
            f"truncated-{name}",
            f"the file has only the first {place} of its {len(file)} bytes",
            file[:place],
            accept=WITHOUT | whole,
        )
    for extra in (1, 4096):
        yield malformed_file(
            "gguf",
            f"{extra}-bytes-too-long",
            "extra bytes follow the last tensor",
            file + b"\xa5" * extra,
            quietly=WHOLE,
        )


def _header(sound: SoundFile) -> Iterator[MalformedFile]:
    parts = sound.gguf(metadata=FEW)
    for word, magic in {
        "lower-case": b"gguf",
        "reversed": b"FUGG",
        "ggml": b"lmgg",
        "one-off": b"GGUX",
    }.items():
        yield changed(sound, f"magic-{word}", f"the magic is {magic!r}", {"magic": magic}, metadata=FEW)
    for version in (0, 1, 4, 0x03000000, 0xFFFFFFFF):
        yield changed(
            sound,
            f"version-{version:#x}",
            "there is no such version; the layout is that of the current one",
            {"version": u32(version)},
            accept=WITHOUT | WHOLE,
            metadata=FEW,
        )
    counts = {"tensor-count": "tensors", "kv-count": "metadata entries"}
    for label, what in counts.items():
        true = struct.unpack("<Q", parts[label])[0]
        for word, value in around(true, 64).items():
            if (label, word) == ("tensor-count", "one-less"):
                continue  # a valid file of five tensors: its data begin where the header of the sixth was
            yield changed(
                sound,
                f"{label}-{word}",
                f"the file is said to have {value} {what}, but has {true}",
                {label: u64(value)},
                accept=WITHOUT | WHOLE,
                metadata=FEW,
            )


def _metadata(sound: SoundFile) -> Iterator[MalformedFile]:
    parts = sound.gguf()
    lengths = {"kv0-key-length": "key", "kv0-length": "string"}
    for label, what in lengths.items():
        true = struct.unpack("<Q", parts[label])[0]
        for word, value in around(true, 64).items():
            yield changed(
                sound,
                f"{what}-length-{word}",
                f"the length is {value} bytes instead of {true}",
                {label: u64(value)},
            )
    keys = {"empty": b"", "not-utf8": b"\xff\xfe\x80", "with-nul": b"a\0b", "64-kib": b"k" * 65536}
    for word, key in keys.items():
        yield changed(
            sound,
            f"key-{word}",
            "an unusual key that does not matter",
            {"kv4-key-length": u64(len(key)), "kv4-key": key},
            quietly=WHOLE,
        )
    twice = {"kv4-key-length": parts["kv0-key-length"], "kv4-key": parts["kv0-key"]}
    yield changed(sound, "key-twice", "two entries have one key", twice, quietly=WHOLE)
    for kind in (13, 0xFFFFFFFF):
        yield changed(sound, f"kv-type-{kind}", "no such type of value", {"kv4-type": u32(kind)})
        yield changed(sound, f"array-type-{kind}", "no such element type", {"kv2-element-type": u32(kind)})
    yield changed(
        sound,
        "kv-type-string",
        "a flag has the type of a string, so that the bytes after it are read as its length",
        {"kv4-type": u32(8)},
    )
    for label, what in {"kv2-count": "array", "kv3-count": "string-array"}.items():
        true = struct.unpack("<Q", parts[label])[0]
        for word, value in around(true, 64).items():
            yield changed(
                sound,
                f"{what}-count-{word}",
                f"the array is said to have {value} elements, but has {true}",
                {label: u64(value)},
            )
    for word in ("2p32", "2p64-1"):
        yield changed(
            sound,
            f"array-string-length-{word}",
            "a string in an array is said to be longer than the file",
            {"kv3-element0-length": u64(LIMITS[word])},
        )
    for depth in (2, 1000, 100_000):
        yield changed(
            sound,
            f"arrays-nested-{depth}",
            "arrays of arrays, which the format allows and ggml refuses",
            _nested(depth),
            quietly=WHOLE,
        )


def _nested(depth: int) -> Pieces:
    value = (u32(gguf.ARRAY) + u64(1)) * (depth - 1) + u32(0) + u64(1) + b"\x07"
    return {"kv4-type": u32(gguf.ARRAY), "kv4-value": value}


def _alignment(sound: SoundFile) -> Iterator[MalformedFile]:
    for value in (0, 3, 33, 64, 1 << 31, (1 << 32) - 1):
        yield changed(
            sound,
            f"alignment-{value}",
            f"the data are said to be aligned to {value} bytes, but are to 32",
            {"kv1-value": u32(value)},
            accept=WITHOUT | WHOLE,
            metadata=FEW,
        )
    wrong = {"string": (8, u64(2) + b"32"), "u64": (10, u64(32)), "f32": (6, struct.pack("<f", 32.0))}
    wrong |= {
        "u8": (0, b"\x20"),
        "array": (9, u32(4) + u64(1) + u32(32)),
        "empty-array": (9, u32(4) + u64(0)),
    }
    for word, (kind, raw) in wrong.items():
        yield changed(
            sound,
            f"alignment-as-{word}",
            "general.alignment must be a 32-bit number",
            {"kv1-type": u32(kind), "kv1-value": raw},
            quietly=WHOLE,
            metadata=FEW,
        )
