"""Malformed safetensors files: dtype, shape, offsets and name of one tensor, ``lora_down`` of the first pair."""

from __future__ import annotations

import json
from collections.abc import Iterator

from harness.malformed.malformed_file import REST, WHOLE, MalformedFile
from harness.malformed.safetensors_header import changed
from harness.malformed.sound_file import SoundFile


def recipes(sound: SoundFile) -> Iterator[MalformedFile]:
    """Yield the recipes of files with a wrong entry of a tensor."""
    yield from _dtypes(sound)
    yield from _shapes(sound)
    yield from _offsets(sound)
    yield from _names(sound)


def _dtypes(sound: SoundFile) -> Iterator[MalformedFile]:
    odd = {"null": "null", "empty": '""', "lower-case": '"f16"', "unknown": '"F128"', "array": "[]"}
    for word, value in odd.items():
        yield changed(
            sound,
            f"dtype-odd-{word}",
            f"dtype is {value}",
            {"t1-dtype": b'"dtype":' + value.encode()},
            accept=REST,
        )
    for word in ("F32", "F64", "I64", "I32", "U8", "BOOL", "F8_E4M3"):
        yield changed(
            sound,
            f"dtype-{word}-over-F16-data",
            f"the data are F16, but dtype is {word}",
            {"t1-dtype": f'"dtype":"{word}"'.encode()},
            accept=REST,
        )
    missing = {"t1-dtype": b'"kind":"F16"'}
    yield changed(sound, "dtype-missing", "the entry has no dtype", missing, accept=REST)


def _shapes(sound: SoundFile) -> Iterator[MalformedFile]:
    rank, inner = sound.tensors[f"{sound.first}.lora_down.weight"].shape
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
            sound,
            f"shape-{word}",
            f"shape is {value[:60]}, but the data are [{rank},{inner}]",
            {"t1-shape": b',"shape":' + value.encode()},
            accept=REST | (WHOLE if word == "fraction" else frozenset()),
            # In JSON 4.0 and 4 are the same number.
            quietly=WHOLE if word in ("float", "six-dimensions", "thousand-dimensions") else frozenset(),
        )
    missing = {"t1-shape": b',"size":1'}
    yield changed(sound, "shape-missing", "the entry has no shape", missing, accept=REST)


def _offsets(sound: SoundFile) -> Iterator[MalformedFile]:
    begin = sound.tensors[f"{sound.first}.alpha"].nbytes
    end = begin + sound.tensors[f"{sound.first}.lora_down.weight"].nbytes
    total = sum(array.nbytes for array in sound.tensors.values())
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
            sound,
            f"offsets-{word}",
            f"data_offsets is {value}, but the data are at [{begin},{end}]",
            {"t1-offsets": b',"data_offsets":' + value.encode()},
            accept=REST | (WHOLE if word == "float" else frozenset()),
            quietly=WHOLE if word == "three" else frozenset(),
        )
    missing = {"t1-offsets": b',"offsets":[0,1]'}
    yield changed(sound, "offsets-missing", "the entry has no data_offsets", missing, accept=REST)


def _names(sound: SoundFile) -> Iterator[MalformedFile]:
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
        "other": f"{sound.second}.lora_down.weight",
    }
    for word, name in names.items():
        yield changed(
            sound,
            f"name-{word}",
            "lora_down of the first pair has another name",
            {"t1-name": b"," + json.dumps(name).encode() + b":{"},
            # If two entries have one name, JSON readers take the last.
            accept=REST,
        )
