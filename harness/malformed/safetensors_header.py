"""Malformed safetensors files: truncated, and with a wrong length or a wrong JSON header.

Format: https://huggingface.co/docs/safetensors/index#format.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Unpack

from harness.malformed.edge_values import LIMITS
from harness.malformed.fields import safetensors
from harness.malformed.fields.pieces import concatenate, ends, replaced
from harness.malformed.malformed_file import WHOLE, WITHOUT, Answers, MalformedFile, malformed_file
from harness.malformed.sound_file import SoundFile


def recipes(sound: SoundFile) -> Iterator[MalformedFile]:
    """Yield all recipes except those for the entry of a tensor, which are in ``safetensors_tensors``."""
    yield from _cut(sound)
    yield from _length(sound)
    yield from _json(sound)


def changed(
    sound: SoundFile, name: str, why: str, fields: Mapping[str, bytes], **answers: Unpack[Answers]
) -> MalformedFile:
    """Return the recipe of a valid file in which some pieces are replaced. The length of the header stays right."""
    return malformed_file(
        "safetensors",
        name,
        why,
        lambda: safetensors.build_file(replaced(sound.safetensors(), fields)),
        **answers,
    )


def _cut(sound: SoundFile) -> Iterator[MalformedFile]:
    parts = sound.safetensors()
    file, places = concatenate(parts), ends(parts)
    inner = ("t1-", "t2-", "t3-", "t4-")
    cuts = {f"after-{label}": place for label, place in places.items() if not label.startswith(inner)}
    if not parts[safetensors.LAST]:
        del cuts[f"after-{safetensors.LAST}"]
    head = places[safetensors.LAST]
    cuts |= {
        "inside-length": 4,
        "inside-t0-name": places["t0-name"] - 4,
        "inside-t0-shape": places["t0-shape"] - 1,
        "one-byte-into-data": head + 1,
        "inside-t1-data": places["t1-data"] - len(parts["t1-data"]) // 2,
        "after-t2-data": places["t2-data"],
        "inside-t5-data": places["t5-data"] - len(parts["t5-data"]) // 2,
        "one-byte-short": places["t5-data"] - 1,
    }
    for name, place in cuts.items():
        if place < len(file):
            yield malformed_file(
                "safetensors",
                f"truncated-{name}",
                f"the file has only the first {place} of its {len(file)} bytes",
                file[:place],
                accept=WITHOUT | ({"first"} if places["t2-data"] <= place else set()),
            )
    yield malformed_file(
        "safetensors",
        "4096-bytes-too-long",
        "extra bytes follow the last tensor",
        file + b"\xa5" * 4096,
        quietly=WHOLE,
    )


def _length(sound: SoundFile) -> Iterator[MalformedFile]:
    parts = sound.safetensors()
    file, true = concatenate(parts), ends(parts)[safetensors.LAST] - 8
    values = {
        "0": 0,
        "1": 1,
        "2": 2,
        "one-less": true - len(parts[safetensors.LAST]) - 1,
        "one-more": true + 1,
        "eight-more": true + 8,
        "to-file-end": len(file) - 8,
        "of-file": len(file),
        "100-mb": 100_000_001,
        **{word: LIMITS[word] for word in ("2p32", "2p63-1", "2p64-1")},
        "minus-8": (1 << 64) - 8,
    }
    for word, value in values.items():
        yield malformed_file(
            "safetensors",
            f"header-length-{word}",
            f"the header is said to have {value} bytes, but has {true}",
            struct.pack("<Q", value) + file[8:],
        )


def _json(sound: SoundFile) -> Iterator[MalformedFile]:
    parts = sound.safetensors()
    labels = list(parts)
    head = concatenate({label: parts[label] for label in labels[1 : labels.index("close") + 1]})
    data = concatenate({label: parts[label] for label in labels[labels.index(safetensors.LAST) + 1 :]})
    header = json.loads(head)
    entry = next(name for name in header if name.endswith(".alpha"))
    texts = {
        "garbage": b"\x80\x02}q\0(X\x05" + head[8:],
        "empty-object": b"{}",
        "array": b"[" + head + b"]",
        "string": json.dumps(head.decode()).encode(),
        "null": b"null",
        "not-closed": head[:-1],
        "trailing-comma": head[:-1] + b",}",
        "single-quotes": head.replace(b'"', b"'"),
        "nan": head.replace(b'"format":"pt"', b'"format":NaN'),
        "not-utf8-key": head.replace(b'"format"', b'"\xff\xfe"'),
        "not-utf8-name": head.replace(entry.encode(), b"\xff\xfe\x80"),
        "lone-surrogate": head.replace(b'"pt"', b'"\\ud800"'),
        "nul-in-middle": head.replace(b",", b",\0", 1),
        "deep": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        "deep-arrays": b"[" * 200_000,
        "entry-null": json.dumps(header | {entry: None}).encode(),
        "entry-array": json.dumps(header | {entry: [1, 2]}).encode(),
        "entry-empty": json.dumps(header | {entry: {}}).encode(),
        "entry-nested": json.dumps({"lora": header}).encode(),
    }
    harmless = {
        "metadata-not-strings": json.dumps(header | {"__metadata__": {"a": [1, {"b": 2}]}}).encode(),
        "metadata-array": json.dumps(header | {"__metadata__": [1]}).encode(),
        "extra-field": head.replace(b'"dtype"', b'"note":[],"dtype"', 1),
        "byte-order-mark": b"\xef\xbb\xbf" + head,
        "entry-twice": head[:-1] + b"," + json.dumps({entry: header[entry]}).encode()[1:],
        "leading-spaces": b" " * 64 + head,
    }
    for word, text in (texts | harmless).items():
        yield malformed_file(
            "safetensors",
            f"json-{word}",
            "the header is not valid JSON, or not as the format demands",
            struct.pack("<Q", len(text)) + text + data,
            quietly=WHOLE if word in harmless else frozenset(),
            accept=WITHOUT | (WHOLE if word.startswith("entry-") else frozenset()),
        )
