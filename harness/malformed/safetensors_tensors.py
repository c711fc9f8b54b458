"""Broken safetensors files: dtype, shape and offsets of one tensor, the first pair's ``lora_down`` (number 1)."""

from __future__ import annotations

import json
from collections.abc import Iterator

from harness.malformed.malformed_file import REST, WHOLE, MalformedFile
from harness.malformed.safetensors_header import changed
from harness.malformed.sound_file import SoundFile


def recipes(seed: SoundFile) -> Iterator[MalformedFile]:
    """Yield them all."""
    yield from _dtypes(seed)
    yield from _shapes(seed)
    yield from _offsets(seed)
    yield from _names(seed)


def _dtypes(seed: SoundFile) -> Iterator[MalformedFile]:
    odd = {"null": "null", "empty": '""', "lower-case": '"f16"', "unknown": '"F128"', "array": "[]"}
    for word, value in odd.items():
        yield changed(
            seed,
            f"dtype-odd-{word}",
            f"dtype is {value}",
            {"t1-dtype": b'"dtype":' + value.encode()},
            accept=REST,
        )
    for word in ("F32", "F64", "I64", "I32", "U8", "BOOL", "F8_E4M3"):
        yield changed(
            seed,
            f"dtype-{word}-over-F16-data",
            f"the data are F16, dtype says {word}",
            {"t1-dtype": f'"dtype":"{word}"'.encode()},
            accept=REST,
        )
    missing = {"t1-dtype": b'"kind":"F16"'}
    yield changed(seed, "dtype-missing", "the entry has no dtype", missing, accept=REST)


def _shapes(seed: SoundFile) -> Iterator[MalformedFile]:
    rank, inner = seed.tensors[f"{seed.first}.lora_down.weight"].shape
    size = rank * inner
    values = {
        "null": "null",
        "string": f'"{rank}x{inner}"',
        "number": str(size),
        "empty": "[]",
        "negative": f"[-{rank},{inner}]",
        "both-negative": f"[-{rank},-{inner}]",
        "float": f"[{rank}.0,{inner}]",
        "fraction": f"[{rank}.5,{inner}]",
        "strings": f'["{rank}","{inner}"]',
        "nested": f"[[{rank}],[{inner}]]",
        "zero": f"[0,{inner}]",
        "too-small": f"[{rank - 1},{inner}]",
        "too-large": f"[{rank + 1},{inner}]",
        "six-dimensions": f"[{rank},{inner},1,1,1,1]",
        "thousand-dimensions": json.dumps([rank, inner] + [1] * 998),
        "2p32": f"[{1 << 32},{inner}]",
        "2p63-1": f"[{(1 << 63) - 1},{inner}]",
        "2p63": f"[{1 << 63},{inner}]",
        "2p64": f"[{1 << 64},{inner}]",
        "1e400": f"[1e400,{inner}]",
        "wraps-to-true-size": f"[{(1 << 64) // inner + rank},{inner}]",
    }
    for word, value in values.items():
        yield changed(
            seed,
            f"shape-{word}",
            f"shape is {value[:60]}, the data are [{rank},{inner}]",
            {"t1-shape": b',"shape":' + value.encode()},
            accept=REST | (WHOLE if word == "fraction" else frozenset()),
            # A JSON number is a number: 4.0 is 4 in Python and in JavaScript.
            quietly=WHOLE if word in ("float", "six-dimensions", "thousand-dimensions") else frozenset(),
        )
    missing = {"t1-shape": b',"size":1'}
    yield changed(seed, "shape-missing", "the entry has no shape", missing, accept=REST)


def _offsets(seed: SoundFile) -> Iterator[MalformedFile]:
    begin = seed.tensors[f"{seed.first}.alpha"].nbytes
    end = begin + seed.tensors[f"{seed.first}.lora_down.weight"].nbytes
    total = sum(array.nbytes for array in seed.tensors.values())
    length = end - begin
    values = {
        "null": "null",
        "empty": "[]",
        "one": f"[{begin}]",
        "three": f"[{begin},{end},{end}]",
        "strings": f'["{begin}","{end}"]',
        "float": f"[{begin}.5,{end}.5]",
        "reversed": f"[{end},{begin}]",
        "negative": f"[-{length},0]",
        "equal": f"[{begin},{begin}]",
        "one-short": f"[{begin},{end - 1}]",
        "one-long": f"[{begin},{end + 1}]",
        "end-past-file": f"[{total - length + 2},{total + 2}]",
        "past-file": f"[{total + 65536},{total + 65536 + length}]",
        "far-past-file": f"[{1 << 40},{(1 << 40) + length}]",
        "2p63": f"[{1 << 63},{(1 << 63) + length}]",
        "2p64-wrapping": f"[{(1 << 64) - 8},{length - 8}]",
        "overlapping": f"[{end},{end + length}]",
        "one-byte-off": f"[{begin + 1},{end + 1}]",
    }
    for word, value in values.items():
        yield changed(
            seed,
            f"offsets-{word}",
            f"data_offsets is {value}, the data are at [{begin},{end}]",
            {"t1-offsets": b',"data_offsets":' + value.encode()},
            accept=REST | (WHOLE if word == "float" else frozenset()),
            quietly=WHOLE if word == "three" else frozenset(),
        )
    missing = {"t1-offsets": b',"offsets":[0,1]'}
    yield changed(seed, "offsets-missing", "the entry has no data_offsets", missing, accept=REST)


def _names(seed: SoundFile) -> Iterator[MalformedFile]:
    names = {
        "empty": "",
        "with-nul": "a\0b",
        "128-bytes": "n" * 128,
        "100-kib": "n" * 102400,
        "percent": "%s%n",
    }
    names |= {
        "path": "../../../etc/passwd",
        "prefix-only": "lora.",
        "other": f"{seed.second}.lora_down.weight",
    }
    for word, name in names.items():
        yield changed(
            seed,
            f"name-{word}",
            "lora_down of the first pair is not called so",
            {"t1-name": b"," + json.dumps(name).encode() + b":{"},
            # Of two entries with one name the last is the one that JSON readers take.
            accept=REST,
        )
