"""Malformed GGUF files: wrong fields of tensors.

Tensor 1 is ``lora_down`` of the first pair, tensor 5 ``lora_up`` of the second.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from functools import partial

import numpy as np

from harness.malformed import gguf_header
from harness.malformed.edge_values import LIMITS, around
from harness.malformed.gguf_header import INTERNAL, REMOVED, SOUND, u32, u64
from harness.malformed.malformed_file import WITHOUT, MalformedFile
from harness.malformed.sound_file import FEW, SoundFile

#: With this metadata both of the library's readers read the tensors.
changed = partial(gguf_header.changed, metadata=FEW)


def recipes(sound: SoundFile) -> Iterator[MalformedFile]:
    """Yield the recipes of files with a wrong field of a tensor."""
    yield from _names(sound)
    yield from _dimensions(sound)
    yield from _types(sound)
    yield from _offsets(sound)
    yield from _flips(sound)


def _accept(number: int) -> frozenset[str]:
    return WITHOUT | {SOUND[number]}


def _names(sound: SoundFile) -> Iterator[MalformedFile]:
    parts = sound.gguf(metadata=FEW)
    true = struct.unpack("<Q", parts["t1-name-length"])[0]
    for word, value in around(true, 64).items():
        yield changed(
            sound,
            f"name-length-{word}",
            f"the length is {value} bytes instead of {true}",
            {"t1-name-length": u64(value)},
            accept=_accept(1),
        )
    names = {
        "empty": b"",
        "not-utf8": b"\xff\xfe" + parts["t1-name"],
        "with-nul": parts["t1-name"].replace(b".", b"\0", 1),
        "127-bytes": b"n" * 127,
        "128-bytes": b"n" * 128,
        "4-kib": b"n" * 4096,
        "1-mib": b"n" * (1 << 20),
        "percent-s": b"%s%n%s%n" + parts["t1-name"],
        "of-another": parts["t4-name"],
        "dots-only": b"." * 40,
    }
    for word, name in names.items():
        yield changed(
            sound,
            f"name-{word}",
            "lora_down of the first pair has another name",
            {"t1-name-length": u64(len(name)), "t1-name": name},
            accept=_accept(1),
        )


def _dimensions(sound: SoundFile) -> Iterator[MalformedFile]:
    parts = sound.gguf(metadata=FEW)
    for value in (0, 1, 3, 5, 1 << 31, (1 << 32) - 1):
        yield changed(
            sound,
            f"n-dims-{value}",
            f"the tensor is said to have {value} dimensions, but has 2",
            {"t1-n-dims": u32(value)},
            accept=_accept(1),
        )
    for ones in (3, 60):
        yield changed(
            sound,
            f"shape-of-{2 + ones}-dimensions",
            "dimensions of 1 follow the others; ggml has at most four",
            {"t1-n-dims": u32(2 + ones), "t1-dim1": parts["t1-dim1"] + u64(1) * ones},
            accept=_accept(1),
            quietly=frozenset({"whole"}),
        )
    for number, axis in ((1, 0), (1, 1), (5, 1)):
        label = f"t{number}-dim{axis}"
        true = struct.unpack("<Q", parts[label])[0]
        for word, value in (around(true, 64) | {"2p63": LIMITS["2p63"]}).items():
            if number == 1 or word in ("zero", "one-less", "one-more"):
                yield changed(
                    sound,
                    f"t{number}-dim{axis}-{word}",
                    f"a dimension of {value} instead of {true}",
                    {label: u64(value)},
                    accept=_accept(number),
                )
    down, up = (struct.unpack("<Q", parts[f"t1-dim{axis}"])[0] for axis in (0, 1))
    overflows = {
        "both-2p32": (1 << 32, 1 << 32),
        "wraps-to-true-size": (down, (1 << 63) // down * 2 + up),
        "both-negative": ((1 << 64) - down, (1 << 64) - up),
        "swapped": (up, down),
        "halved-and-doubled": (down // 2, up * 2),
    }
    for word, (inner, outer) in overflows.items():
        yield changed(
            sound,
            f"t1-dims-{word}",
            f"{inner} x {outer} elements instead of {down} x {up}",
            {"t1-dim0": u64(inner), "t1-dim1": u64(outer)},
            accept=_accept(1),
        )


def _types(sound: SoundFile) -> Iterator[MalformedFile]:
    unknown = {f"removed-{kind}": kind for kind in REMOVED}
    unknown |= {f"unknown-{kind}": kind for kind in (41, 255)}
    unknown |= {"2p31-1": LIMITS["2p31-1"], "2p31": LIMITS["2p31"], "2p32-1": LIMITS["2p32-1"]}
    for number in (1, 5):
        for word, kind in unknown.items():
            if number == 1 or word in ("removed-4", "unknown-41", "2p31", "2p32-1"):
                yield changed(
                    sound,
                    f"t{number}-type-{word}",
                    "ggml has no such tensor type, or has removed it",
                    {f"t{number}-type": u32(kind)},
                    accept=_accept(number),
                )
    for word, kind in INTERNAL.items():
        yield changed(
            sound,
            f"t5-type-{word}",
            f"the data are F16, but the type is {word}, which is for no adapter",
            {"t5-type": u32(kind)},
            accept=_accept(5),
        )
    for number, word, kind in ((5, "F32", 0), (1, "F32", 0), (1, "Q8_0", 8), (1, "Q4_0", 2), (5, "Q6_K", 14)):
        yield changed(
            sound,
            f"t{number}-type-{word}-over-F16-data",
            f"the data are F16, but the type is {word}: another size, or rows that are not whole blocks",
            {f"t{number}-type": u32(kind)},
            accept=_accept(number),
        )


def _offsets(sound: SoundFile) -> Iterator[MalformedFile]:
    parts = sound.gguf(metadata=FEW)
    true = struct.unpack("<Q", parts["t5-offset"])[0]
    size = true + len(parts["t5-data"])
    values = {
        "of-first": 0,
        "of-t4": struct.unpack("<Q", parts["t4-offset"])[0],
        "one-off": true + 1,
        "16-off": true + 16,
        "32-off": true + 32,
        "32-less": true - 32,
        "at-end": size,
        "past-end": size + (1 << 20),
        **{word: LIMITS[word] for word in ("2p32", "2p63-1", "2p63")},
        "minus-32": (1 << 64) - 32,
        "before-file": (1 << 64) - true - 4096,
    }
    for word, value in values.items():
        yield changed(
            sound,
            f"t5-offset-{word}",
            f"the data are said to be at {value} instead of {true}",
            {"t5-offset": u64(value)},
            accept=_accept(5),
        )
    yield changed(
        sound,
        "offsets-all-zero",
        "all tensors have the same data",
        {f"t{number}-offset": u64(0) for number in range(6)},
    )


def _flips(sound: SoundFile, count: int = 12) -> Iterator[MalformedFile]:
    """Yield files in which one bit of a tensor's header is flipped, chosen by a seeded generator."""
    labels = [
        label for label in sound.gguf(metadata=FEW) if re.match(r"t\d-(name|n-dims|dim|type|offset)", label)
    ]
    draw = np.random.default_rng(11)
    for number in range(count):
        label = labels[int(draw.integers(len(labels)))]
        piece = bytearray(sound.gguf(metadata=FEW)[label])
        bit = int(draw.integers(len(piece) * 8))
        piece[bit // 8] ^= 1 << bit % 8
        tensor = int(label[1])
        # alpha equals the rank, so the adapter is the same without it.
        alpha = {"whole"} if tensor in (0, 3) else set()
        yield changed(
            sound,
            f"bit-flip-{number:02}-{label}",
            f"bit {bit} of the field is flipped",
            {label: bytes(piece)},
            accept=_accept(tensor) | alpha,
        )
