"""Malformed ckpt files: the zip around the pickle, and other files with the suffix .ckpt."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.malformed.fields import ckpt
from harness.malformed.fields.pieces import concatenate, ends
from harness.malformed.malformed_file import REST, WHOLE, WITHOUT, MalformedFile, malformed_file
from harness.malformed.sound_file import SoundFile


def recipes(sound: SoundFile) -> Iterator[MalformedFile]:
    """Yield the recipes of malformed archives."""
    yield from _not_one(sound)
    yield from _cut(sound)
    yield from _members(sound)
    yield from _fields(sound)


def _not_one(sound: SoundFile) -> Iterator[MalformedFile]:
    noise = np.random.default_rng(5).bytes(4096)
    page = b"<!DOCTYPE html>\n<html><head><title>Log in</title></head><body>401</body></html>\n"
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 151112\n"
    pickled = concatenate(sound.pickle())
    magic = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
    contents = {
        "empty": b"",
        "one-byte": b"P",
        "noise": noise,
        "zeros": bytes(4096),
        "html-page": page,
        "git-lfs-pointer": pointer,
        "text": "Sorry, this file has moved.\n".encode("utf-8-sig"),
        "pickle-without-zip": pickled,
        "legacy-magic-only": magic,
        "legacy-without-storages": magic
        + b"\x80\x02M\xe9\x03."
        + b"\x80\x02}q\0."
        + pickled
        + b"\x80\x02]q\0.",
        "tar": b"archive/data.pkl" + bytes(241) + b"ustar\x0000" + bytes(248) + pickled,
        "gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + noise,
        "rar": b"Rar!\x1a\x07\x01\0" + noise,
    }
    for word, content in contents.items():
        yield malformed_file("ckpt", word, "the file is no ckpt, despite its suffix", content)


def _cut(sound: SoundFile) -> Iterator[MalformedFile]:
    parts = ckpt.zipped(sound.ckpt())
    file, places = concatenate(parts), ends(parts)
    labels = ("local0-header", "local0-name", "local0-data", "local2-header", "local2-data", "local7-data")
    cuts = {f"after-{label}": places[label] for label in (*labels, "central0", "central7")}
    cuts |= {
        "inside-local0-header": 17,
        "inside-pickle": places["local0-data"] - 40,
        "inside-local2-data": places["local2-data"] - 9,
        "inside-central3": places["central3"] - 5,
        "inside-end": len(file) - 9,
        "one-byte-short": len(file) - 1,
    }
    for name, place in cuts.items():
        yield malformed_file(
            "ckpt", f"zip-truncated-{name}", f"only the first {place} of {len(file)} bytes", file[:place]
        )
    yield malformed_file(
        "ckpt", "zip-begins-late", "100 bytes precede the zip", bytes(100) + file, quietly=WHOLE
    )
    yield malformed_file("ckpt", "zip-begins-cut", "the first 10 bytes are missing", file[10:], accept=REST)
    yield malformed_file(
        "ckpt", "zip-followed-by-4-kib", "bytes follow the zip", file + bytes(4096), quietly=WHOLE
    )


def _members(sound: SoundFile) -> Iterator[MalformedFile]:
    members = sound.ckpt()
    down = "archive/data/1"

    def archive(
        name: str,
        why: str,
        changed: dict[str, bytes],
        accept: frozenset[str] = REST,
        quietly: frozenset[str] = frozenset(),
    ) -> MalformedFile:
        content = concatenate(ckpt.zipped(changed))
        return malformed_file("ckpt", f"zip-{name}", why, content, accept=accept, quietly=quietly)

    kept = {name: data for name, data in members.items() if name != down}
    none = {name: data for name, data in members.items() if "/data/" not in name}
    yield archive("no-members", "an empty archive", {})
    yield archive("no-pickle", "data.pkl is missing", {n: d for n, d in members.items() if ".pkl" not in n})
    yield archive("no-storages", "no tensor has its data", none, WITHOUT)
    yield archive("storage-missing", "the data of lora_down are missing", kept)
    for word, data in {
        "empty": b"",
        "one-byte": members[down][:1],
        "half": members[down][: len(members[down]) // 2],
        "one-byte-short": members[down][:-1],
    }.items():
        yield archive(f"storage-{word}", "lora_down needs more data", members | {down: data})
    longer = members | {down: members[down] + bytes(64)}
    yield archive("storage-longer", "more data than lora_down needs", longer, REST, WHOLE)
    renamed = {name.replace("data.pkl", "other.pkl"): data for name, data in members.items()}
    yield archive("pickle-renamed", "no data.pkl", renamed)
    elsewhere = {name.replace("archive/data/", "data/"): data for name, data in members.items()}
    yield archive("storages-elsewhere", "the storages are outside of the pickle's folder", elsewhere)
    climbing = kept | {"archive/data/../data/1": members[down]}
    yield archive("storage-name-climbs", "the name of a storage has ../ in it", climbing)
    folder = kept | {"archive/data/1/": b""}
    yield archive("storage-is-folder", "a folder in the place of a storage", folder)
    second = {"archive/data.pkl": members["archive/data.pkl"], "b/data.pkl": b"\x80\x02.", **members}
    yield archive("second-pickle", "two pickles, one of which is empty", second, REST, WHOLE)
    long_name = members | {"archive/" + "x" * 60000: b""}
    yield archive(
        "member-name-of-60-kb", "a member that does not matter, with a long name", long_name, REST, WHOLE
    )
    many = members | {f"archive/none/{number}": b"" for number in range(3000)}
    yield archive("3000-more-members", "members that do not matter", many, REST, WHOLE)


def _fields(sound: SoundFile) -> Iterator[MalformedFile]:
    """Yield archives with a wrong field of the zip. Member 2 is the storage of the first pair's lora_down."""
    parts = ckpt.zipped(sound.ckpt())
    for label, field, value in (
        ("central2", "size", 0x7FFFFFFF),
        ("central2", "size", 0xFFFFFFFF),
        ("central2", "packed", 0),
        ("central2", "packed", 0x7FFFFFFF),
        ("central2", "offset", 7),
        ("central2", "offset", 0x7FFFFFFF),
        ("central2", "method", 8),
        ("central2", "name-length", 0xFFFF),
        ("central2", "extra-length", 0xFFFF),
        ("central0", "size", 0),
        ("central0", "size", 0x7FFFFFFF),
        ("central0", "offset", 0x7FFFFFFF),
        ("end", "entries", 0),
        ("end", "entries", 0xFFFF),
        ("end", "size", 0xFFFFFFFF),
        ("end", "offset", 0),
        ("end", "offset", 0xFFFFFFFF),
        ("end", "disk", 7),
        ("end", "comment-length", 0xFFFF),
    ):
        place = (ckpt.END if label == "end" else ckpt.CENTRAL)[field]
        piece = ckpt.field(parts[label], place, value)
        yield malformed_file(
            "ckpt",
            f"zip-{label}-{field}-{value:#x}",
            f"the field {field} of {label} is {value}",
            concatenate({**parts, label: piece}),
            accept=REST if label == "central2" else WITHOUT,
            quietly=WHOLE,
        )
