"""What a file says about itself: tensors, ranks, metadata and hashes. Its metadata can be changed in a new file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.converter.convert import metadata_for, write
from harness.converter.hashes import LEGACY_HASH, MODEL_HASH, Hashes, hashes
from harness.converter.modules import Layout, layout_of, scheme
from harness.converter.plan import plan
from harness.converter.text import size_text
from harness.formats.read import read_tensors
from harness.formats.tensor import File, MetadataValue
from harness.formats.write import DERIVED, container_of
from harness.text import did_you_mean, one_line, plural
from sdcpp.errors import FileInvalid, OutputRefused
from sdcpp.printable import printable

#: The number of characters of a value that are shown unless everything is asked for.
WIDTH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Information:
    """A file, its modules and its hashes. ``hashes`` is None if they were not asked for."""

    file: File
    layout: Layout
    hashes: Hashes | None

    @property
    def ranks(self) -> dict[int, int]:
        """The number of modules of each rank, the most frequent first."""
        return dict(Counter(m.rank for m in self.layout.modules.values() if m.rank is not None).most_common())

    @property
    def notes(self) -> list[str]:
        """The stored hashes that are not those of the tensors."""
        if self.hashes is None:
            return []
        found = ((MODEL_HASH, self.hashes.model_hash), (LEGACY_HASH, self.hashes.legacy_hash))
        return [
            f"the metadata entry {key} is not the hash of these tensors: a program changed them afterwards"
            for key, value in found
            if value and key in self.file.metadata and str(self.file.metadata[key].value) != value
        ]

    def as_json(self) -> dict[str, object]:
        """Return everything as values that JSON supports."""
        return {
            "path": self.file.path.name,
            "container": self.file.container,
            "bytes": self.file.path.stat().st_size,
            "names": scheme(self.file.tensors),
            "modules": len(self.layout.modules),
            "ranks": {str(rank): count for rank, count in self.ranks.items()},
            "hashes": self.hashes.as_json() if self.hashes else None,
            "metadata": {key: entry.value for key, entry in self.file.metadata.items()},
            "tensors": [
                {"name": tensor.name, "type": tensor.kind, "shape": list(tensor.shape)}
                for tensor in self.file.tensors.values()
            ],
            "notes": self.notes,
        }


def information(
    path: Path, *, hashed: bool = True, progress: Callable[[int], None] = lambda _: None
) -> Information:
    """Return what a file says about itself. ``hashed`` reads all of it. Raises FileInvalid and UnsafePickle."""
    file = read_tensors(path)
    return Information(file=file, layout=layout_of(file), hashes=hashes(file, progress) if hashed else None)


def text(found: Information, *, verbose: bool = False, quiet: bool = False) -> str:
    """Return a line about a file, its hashes and metadata; with ``verbose`` all tensors, with ``quiet`` the line."""
    file = found.file
    ranks = ", ".join(
        f"rank {rank}" + (f" ({plural(count, 'module')})" if len(found.ranks) > 1 else "")
        for rank, count in found.ranks.items()
    )
    size = size_text(file.path.stat().st_size)
    about = [file.container, f"names of {scheme(file.tensors)}", plural(len(file.tensors), "tensor")]
    about += [plural(len(found.layout.modules), "module")] + ([ranks] if ranks else []) + [size]
    lines = [f"{file.path}: {', '.join(about)}"]
    if quiet:
        return printable(lines[0])
    if found.hashes:
        lines += [f"  {name:16} {value}" for name, value in found.hashes.as_json().items() if value]
    for key, entry in file.metadata.items():
        if key != DERIVED:
            lines.append(f"  {key} = {one_line(str(entry.value), 0 if verbose else WIDTH)}")
    lines += [f"  note: {note}" for note in found.notes]
    if verbose:
        width = max((len(printable(name)) for name in file.tensors), default=0)
        for tensor in file.tensors.values():
            shape = " x ".join(map(str, tensor.shape)) or "scalar"
            lines.append(f"  {printable(tensor.name):{width}}  {tensor.kind:6}  {shape}")
    return "\n".join(map(printable, lines))


def with_metadata(
    source: Path, target: Path, changed: Mapping[str, str], removed: Sequence[str] = ()
) -> None:
    """Write a file with the tensors of ``source``, byte for byte, and other metadata.

    ``changed`` are the new values by key. A value of GGUF that is a number or a truth value keeps its type; all others
    are texts. ``removed`` are the keys to leave out.

    Raises FileInvalid if a key to remove does not exist, if a value does not have its type, or if the container would
    change, and OutputRefused if the file cannot be written.
    """
    file = read_tensors(source)
    container = container_of(target)
    if container != file.container:
        raise OutputRefused(
            f"{source.name} is a file of {file.container}",
            target,
            "give the output the same suffix; sdcpp lora convert changes the container",
        )
    absent = [key for key in removed if key not in file.metadata]
    if absent:
        raise FileInvalid(
            f"there is no metadata entry {absent[0]!r}",
            source,
            f"sdcpp lora info shows all entries{did_you_mean(absent[0], file.metadata)}",
        )
    plans = plan(list(file.tensors.values()), container)
    metadata = metadata_for(file, container, plans)
    for key in removed:
        metadata.pop(key, None)
    for key, value in changed.items():
        metadata[key] = _typed(source, key, value, file.metadata.get(key))
    if DERIVED in metadata:
        kept = [key for key in str(metadata[DERIVED].value).split("\n") if key not in (*changed, *removed)]
        metadata[DERIVED] = MetadataValue(type="STRING", value="\n".join(kept))
    write(target, container, plans, metadata, None, inputs=[source], only_finite=False)


def _typed(source: Path, key: str, value: str, before: MetadataValue | None) -> MetadataValue:
    """Return a value in the type that the entry had before."""
    kind = before.type if before else "STRING"
    if kind == "STRING":
        return MetadataValue(type=kind, value=value)
    try:
        if kind == "BOOL":
            return MetadataValue(type=kind, value={"true": True, "false": False}[value.lower()])
        if kind.startswith("FLOAT"):
            return MetadataValue(type=kind, value=float(value))
        if kind.startswith(("INT", "UINT")):
            return MetadataValue(type=kind, value=int(value))
    except (ValueError, KeyError):
        pass
    raise FileInvalid(
        f"the metadata entry {key!r} is a value of type {kind}, not {value!r}",
        source,
        "use --unset for the entry, or a key of another name",
    )
