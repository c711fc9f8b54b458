"""Malformed ckpt files: the pickle. For the format see ``harness.malformed.fields.ckpt``."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator, Mapping
from typing import Unpack

from harness.formats import torch_pickle
from harness.malformed.fields import ckpt
from harness.malformed.fields.pieces import concatenate, ends, replaced
from harness.malformed.malformed_file import REST, WHOLE, WITHOUT, Answers, MalformedFile, malformed_file
from harness.malformed.sound_file import SoundFile


def recipes(sound: SoundFile) -> Iterator[MalformedFile]:
    """Yield the recipes of malformed pickles in a valid archive."""
    yield from _cut(sound)
    yield from _opcodes(sound)
    yield from _numbers(sound)


def pickled(
    sound: SoundFile, name: str, why: str, stream: bytes, **answers: Unpack[Answers]
) -> MalformedFile:
    """Return the recipe of a valid archive with another pickle."""
    return malformed_file("ckpt", name, why, lambda: concatenate(ckpt.zipped(sound.ckpt(stream))), **answers)


def changed(
    sound: SoundFile, name: str, why: str, fields: Mapping[str, bytes], **answers: Unpack[Answers]
) -> MalformedFile:
    """Return the recipe of a valid file in which some pieces of the pickle are replaced."""
    return pickled(sound, name, why, concatenate(replaced(sound.pickle(), fields)), **answers)


def _cut(sound: SoundFile) -> Iterator[MalformedFile]:
    """Yield pickles that end after each field of the first tensor, in a valid archive."""
    parts = sound.pickle()
    stream, places = concatenate(parts), ends(parts)
    ended = [label for label in parts if label.startswith("t1-") and not label.endswith("-end")]
    labels = ["proto", "dict", "mark", *ended, "t2-reduce"]
    cuts = {f"after-{label}": places[label] for label in [*labels, "setitems"]}
    cuts |= {
        "inside-proto": 1,
        "inside-t1-name": places["t1-name"] - 9,
        "inside-t1-count": places["t1-count"] - 1,
    }
    for name, place in cuts.items():
        yield pickled(
            sound,
            f"pickle-truncated-{name}",
            f"the pickle has only the first {place} of its {len(stream)} bytes",
            stream[:place],
            # A library may use the tensors before the end; an alpha alone changes nothing.
            accept=WITHOUT | ({"first", "whole"} if place >= places["t2-reduce"] else set()),
        )


def _opcodes(sound: SoundFile) -> Iterator[MalformedFile]:
    parts = sound.pickle()
    stream, body = concatenate(parts), concatenate(parts)[2:]
    for protocol in (0, 1, 255):
        yield pickled(
            sound,
            f"pickle-protocol-{protocol}",
            "torch.save writes protocol 2",
            pickle.PROTO + bytes([protocol]) + body,
            quietly=WHOLE,
        )
    streams = {
        "empty": b"",
        "stop-only": pickle.PROTO + b"\x02" + pickle.STOP,
        "no-proto": body,
        "none": pickle.PROTO + b"\x02" + pickle.NONE + pickle.STOP,
        "list": pickle.PROTO + b"\x02" + pickle.EMPTY_LIST + pickle.STOP,
        "empty-dict": pickle.PROTO + b"\x02" + pickle.EMPTY_DICT + pickle.STOP,
        "unknown-opcode-ff": stream[:2] + b"\xff" + body,
        "unknown-opcode-z": stream[:2] + b"Z" + body,
        "tuple-without-mark": stream[:2] + pickle.TUPLE + body,
        "reduce-on-nothing": stream[:2] + pickle.REDUCE + body,
        "setitems-without-mark": stream[:2] + pickle.SETITEMS + body,
        "pop-on-nothing": stream[:2] + pickle.POP + body,
        "get-of-nothing": stream[:2] + pickle.BINGET + b"\xfe" + body,
        "global-without-end": stream[:2] + pickle.GLOBAL + b"torch",
        "global-of-64-kib": stream[:2] + pickle.GLOBAL + b"m" * 65536 + b"\nn\n" + pickle.POP + body,
        "other-callable": stream.replace(b"_rebuild_tensor_v2", b"_rebuild_nothing_2"),
        "dicts-nested-2000": stream[:2] + pickle.EMPTY_DICT * 2000 + pickle.STOP,
        "tuples-nested-20000": stream[:2] + pickle.EMPTY_TUPLE + pickle.TUPLE1 * 20_000 + pickle.STOP,
        "doubling-18": stream[:2] + pickle.EMPTY_TUPLE + (pickle.DUP + pickle.TUPLE2) * 18 + pickle.STOP,
    }
    for word, value in streams.items():
        good = word == "global-of-64-kib"
        yield pickled(
            sound,
            f"pickle-{word}",
            "torch.save does not write such a pickle",
            value,
            # If valid tensors follow a few wrong opcodes, a reader may skip those.
            accept=WITHOUT if word == "other-callable" else WITHOUT | WHOLE,
            quietly=WHOLE if good else frozenset(),
        )
    lengths = {"zero": 0, "one-more": 1 + len(sound.first) + 17, "64-kib": 65536, "2p31-1": (1 << 31) - 1}
    lengths |= {"2p31": 1 << 31, "2p32-1": (1 << 32) - 1}
    for word, length in lengths.items():
        name = parts["t1-name"]
        yield changed(
            sound,
            f"pickle-string-length-{word}",
            f"the name of lora_down is said to have {length} bytes",
            {"t1-name": name[:1] + struct.pack("<I", length) + name[5:]},
            accept=REST,
        )
    for word, length in {"511": 511, "512": 512, "64-kib": 65536}.items():
        yield changed(
            sound,
            f"pickle-name-of-{word}-bytes",
            "lora_down of the first pair has another name",
            {"t1-name": torch_pickle.text("n" * length)},
            accept=REST,
        )


def _numbers(sound: SoundFile) -> Iterator[MalformedFile]:
    parts, array = sound.pickle(), sound.tensors[f"{sound.first}.lora_down.weight"]
    rank, inner = array.shape
    counts = {"zero": 0, "negative": -array.size, "one-less": array.size - 1, "one-more": array.size + 1}
    counts |= {"2p31-1": (1 << 31) - 1, "2p63-1": (1 << 63) - 1}
    for word, count in counts.items():
        yield changed(
            sound,
            f"storage-count-{word}",
            f"the storage of {array.size} elements is said to have {count}",
            {"t1-count": torch_pickle.integer(count)},
            accept=REST,
            quietly=WHOLE,
        )
    offsets = {"one": 1, "negative": -1, "at-end": array.size, "past-end": array.size + 65535}
    offsets |= {"2p31-1": (1 << 31) - 1, "2p63-1": (1 << 63) - 1}
    for word, offset in offsets.items():
        yield changed(
            sound,
            f"storage-offset-{word}",
            f"the data begin at element {offset} of a storage that they fill",
            {"t1-offset": torch_pickle.integer(offset)},
            accept=REST,
        )
    for word, offset in {"one": -1, "one-row": -inner, "2p20": -(1 << 20)}.items():
        stream = concatenate({**parts, "t1-offset": torch_pickle.integer(offset)})
        members = sound.ckpt(stream)
        members["archive/data/1"] += bytes(64)
        yield malformed_file(
            "ckpt",
            f"storage-offset-minus-{word}-in-longer-storage",
            f"the data begin at element {offset} of a storage that is longer than they are",
            concatenate(ckpt.zipped(members)),
            accept=REST,
        )
    shapes = {
        "empty": (),
        "zero": (0, inner),
        "negative": (-rank, inner),
        "smaller": (rank - 1, inner),
        "larger": (rank + 1, inner),
        "flat": (rank * inner,),
        "five": (rank, inner, 1, 1, 1),
        "six": (rank, inner, 1, 1, 1, 1),
        "2p31-1": ((1 << 31) - 1, inner),
        "wraps": ((1 << 63) // inner * 2 + rank, inner),
    }
    for word, shape in shapes.items():
        yield changed(
            sound,
            f"tensor-shape-{word}",
            f"a shape of {shape} over data of {array.shape}",
            {"t1-shape": torch_pickle.integers(shape)},
            accept=REST,
        )
    strides = {"transposed": (1, rank), "zero": (0, 0), "negative": (-inner, -1), "double": (2 * inner, 2)}
    for word, stride in (strides | {"one": (1,), "none": (), "huge": ((1 << 31) - 1, 1)}).items():
        yield changed(
            sound,
            f"tensor-stride-{word}",
            f"strides of {stride} over data of {array.shape}",
            {"t1-stride": torch_pickle.integers(stride)},
            accept=REST,
        )
    for word in ("ByteStorage", "FloatStorage", "LongStorage", "NoStorage"):
        yield changed(
            sound,
            f"storage-class-{word}",
            f"the data are F16, but the storage is a {word}",
            {"t1-class": torch_pickle.name("torch", word)},
            accept=REST,
        )
