"""Broken GGUF files. Fields and their limits: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md."""

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

#: The pair that is whole when a tensor of the other is not: tensors 0 to 2 are the first, 3 to 5 the second.
SOUND = {**dict.fromkeys(range(3), "second"), **dict.fromkeys(range(3, 6), "first")}
REMOVED = (4, 31, 36)
INTERNAL = {"Q8_1": 9, "Q8_K": 15, "I8": 24, "I16": 25, "I32": 26, "I64": 27, "F64": 28}


def recipes(seed: SoundFile) -> Iterator[MalformedFile]:
    """Yield all recipes but those for a tensor's own fields, which ``gguf_tensors`` has."""
    yield from _cut(seed)
    yield from _header(seed)
    yield from _metadata(seed)
    yield from _alignment(seed)


def changed(
    seed: SoundFile,
    name: str,
    why: str,
    fields: Mapping[str, bytes],
    *,
    metadata: gguf.Metadata = METADATA,
    **answers: Unpack[Answers],
) -> MalformedFile:
    """Return the recipe of a healthy file in which some pieces are others; the data stay aligned."""
    return malformed_file(
        "gguf",
        name,
        why,
        lambda: gguf.build_file(replaced(seed.gguf(metadata=metadata), fields)),
        **answers,
    )


def u32(value: int) -> bytes:
    """Return a 32-bit field."""
    return struct.pack("<I", value)


def u64(value: int) -> bytes:
    """Return a 64-bit field."""
    return struct.pack("<Q", value)


def _cut(seed: SoundFile) -> Iterator[MalformedFile]:
    """After every field of the head, two metadata entries, the first and the last tensor; around the data."""
    parts = seed.gguf()
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
            f"only the first {place} of {len(file)} bytes are there",
            file[:place],
            accept=WITHOUT | whole,
        )
    for extra in (1, 4096):
        yield malformed_file(
            "gguf",
            f"{extra}-bytes-too-long",
            "bytes follow the last tensor; the file holds all it should",
            file + b"\xa5" * extra,
            quietly=WHOLE,
        )


def _header(seed: SoundFile) -> Iterator[MalformedFile]:
    parts = seed.gguf(metadata=FEW)
    for word, magic in {
        "lower-case": b"gguf",
        "reversed": b"FUGG",
        "ggml": b"lmgg",
        "one-off": b"GGUX",
    }.items():
        yield changed(seed, f"magic-{word}", f"the magic is {magic!r}", {"magic": magic}, metadata=FEW)
    for version in (0, 1, 4, 0x03000000, 0xFFFFFFFF):
        yield changed(
            seed,
            f"version-{version:#x}",
            "no such version, though the layout is the present one's",
            {"version": u32(version)},
            accept=WITHOUT | WHOLE,
            metadata=FEW,
        )
    counts = {"tensor-count": "tensors", "kv-count": "metadata entries"}
    for label, what in counts.items():
        true = struct.unpack("<Q", parts[label])[0]
        for word, value in around(true, 64).items():
            if (label, word) == ("tensor-count", "one-less"):
                continue  # a good file of five tensors, its data where the sixth was described
            yield changed(
                seed,
                f"{label}-{word}",
                f"says {value} {what}, has {true}",
                {label: u64(value)},
                accept=WITHOUT | WHOLE,
                metadata=FEW,
            )


def _metadata(seed: SoundFile) -> Iterator[MalformedFile]:
    parts = seed.gguf()
    lengths = {"kv0-key-length": "key", "kv0-length": "string"}
    for label, what in lengths.items():
        true = struct.unpack("<Q", parts[label])[0]
        for word, value in around(true, 64).items():
            yield changed(
                seed, f"{what}-length-{word}", f"says {value} bytes, has {true}", {label: u64(value)}
            )
    keys = {"empty": b"", "not-utf8": b"\xff\xfe\x80", "with-nul": b"a\0b", "64-kib": b"k" * 65536}
    for word, key in keys.items():
        yield changed(
            seed,
            f"key-{word}",
            "an odd key of no importance",
            {"kv4-key-length": u64(len(key)), "kv4-key": key},
            quietly=WHOLE,
        )
    twice = {"kv4-key-length": parts["kv0-key-length"], "kv4-key": parts["kv0-key"]}
    yield changed(seed, "key-twice", "two entries have one key", twice, quietly=WHOLE)
    for kind in (13, 0xFFFFFFFF):
        yield changed(seed, f"kv-type-{kind}", "no such type of value", {"kv4-type": u32(kind)})
        yield changed(seed, f"array-type-{kind}", "no such element type", {"kv2-element-type": u32(kind)})
    yield changed(
        seed,
        "kv-type-string",
        "a flag called a string: its length is what follows",
        {"kv4-type": u32(8)},
    )
    for label, what in {"kv2-count": "array", "kv3-count": "string-array"}.items():
        true = struct.unpack("<Q", parts[label])[0]
        for word, value in around(true, 64).items():
            yield changed(
                seed, f"{what}-count-{word}", f"says {value} elements, has {true}", {label: u64(value)}
            )
    for word in ("2p32", "2p64-1"):
        yield changed(
            seed,
            f"array-string-length-{word}",
            "the length of a string in an array",
            {"kv3-element0-length": u64(LIMITS[word])},
        )
    for depth in (2, 1000, 100_000):
        yield changed(
            seed,
            f"arrays-nested-{depth}",
            "arrays of arrays: the format allows it, ggml does not",
            _nested(depth),
            quietly=WHOLE,
        )


def _nested(depth: int) -> Pieces:
    value = (u32(gguf.ARRAY) + u64(1)) * (depth - 1) + u32(0) + u64(1) + b"\x07"
    return {"kv4-type": u32(gguf.ARRAY), "kv4-value": value}


def _alignment(seed: SoundFile) -> Iterator[MalformedFile]:
    for value in (0, 3, 33, 64, 1 << 31, (1 << 32) - 1):
        yield changed(
            seed,
            f"alignment-{value}",
            f"says that data are aligned to {value} bytes; they are to 32",
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
            seed,
            f"alignment-as-{word}",
            "general.alignment must be a 32-bit number",
            {"kv1-type": u32(kind), "kv1-value": raw},
            quietly=WHOLE,
            metadata=FEW,
        )
