"""A model in several files as one file, because the library reads no model in several files.

The file is written tensor by tensor, kept in the cache, and used again for the same files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from harness.formats.tensor import Bytes, File
from harness.formats.write import SUFFIXES, Spec, write_container
from harness.own_model import reference
from harness.own_model.model import Part, UserModel, read_model
from harness.own_model.progress import growing
from sdcpp import cache

#: The folder of the cache.
FOLDER = "joined"
#: The prefix of the metadata that say which of several GGUF files a file is.
_SPLIT = "split."


def joined(model: UserModel) -> UserModel:
    """Return the model with a single file in place of each that is in several files.

    Raises OutputRefused if the disk has too little space, and what writing a file raises.
    """
    found = {part.role: _joined(part) for part in model.parts if part.shards}
    return read_model({**model.files, **found}) if found else model


def _joined(part: Part) -> Path:
    """Return the file with the tensors of all files of a part."""
    stamps = "\n".join(reference.stamp(path) for path in part.paths)
    folder = cache.root() / FOLDER / hashlib.sha256(stamps.encode()).hexdigest()[:24]
    file = part.file
    name = f"model{SUFFIXES[file.container][0]}"

    def write(partial: Path) -> None:
        total = sum(tensor.nbytes for tensor in file.tensors.values())
        reference.require_space(partial, total)
        with growing(partial, total, f"joining {len(part.paths)} files of the model"):
            _write(file, partial / name)

    cache.get_or_create(folder, write)
    cache.evict_oldest(folder, reference.KEPT)
    return folder / name


def _write(file: File, path: Path) -> None:
    """Write the tensors of a file, which are in several files, to one file."""

    def stored(spec: Spec, _: int | None) -> Iterator[Bytes]:
        return (rows.raw() for rows in file.tensors[spec.name].slices())

    specs = [Spec(name=each.name, shape=each.shape, kind=each.kind) for each in file.tensors.values()]
    metadata = {key: value for key, value in file.metadata.items() if not key.startswith(_SPLIT)}
    write_container(path, file.container, specs, metadata, stored)
