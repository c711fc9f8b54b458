"""This converter beside upstream's and the gguf package, on one file.

``sdcpp study converters FILE TYPE`` runs it.

Each runs in a process of its own (``harness.studies.conversion.peer``). Time is from start to end of that
process, the start of Python and the loading of the library included.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

from harness.converter import picture_loss
from harness.converter.compare import compare
from harness.converter.convert import convert
from harness.converter.picture_loss import Effect
from harness.formats.read import read_tensors
from harness.models.base_model import Base
from harness.quantising.package_quantiser import open_quantiser
from sdcpp.errors import LibraryUnusable
from sdcpp.process import run


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What one of them made, and what that took: seconds, seconds of all processors, MB of memory."""

    path: Path
    seconds: float
    cpu: float
    peak: str


def measured(who: str, folder: Path, source: Path, target: Path, kind: str) -> Made:
    """Return what one of them makes in a process of its own. Raises LibraryUnusable if it fails."""
    words: list[str | Path] = [
        sys.executable,
        "-m",
        "harness.studies.conversion.peer",
        who,
        folder,
        source,
        target,
        kind,
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = run(words, quiet=True)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.status:
        raise LibraryUnusable(
            f"{who} failed: {done.output.strip().splitlines()[-1][:90]}", source, "see above"
        )
    return Made(
        path=target,
        seconds=seconds,
        cpu=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        peak=" + ".join(next(s for s in done.output.splitlines() if s.startswith("peak")).split()[1:]),
    )


def costs(source: Path, made: Mapping[str, Made], *, loss: bool) -> Iterator[str]:
    """Yield the lines of the table of time, memory, size and loss."""
    yield "| converter | seconds | CPU seconds | peak memory | size | loss in ΔW |"
    yield "|---|---|---|---|---|---|"
    for who, each in made.items():
        lost = f"{compare(source, each.path).relative:.4%}" if loss else ""
        size = each.path.stat().st_size / 1e6
        yield f"| {who} | {each.seconds:.1f} | {each.cpu:.1f} | {each.peak} MB | {size:.2f} MB | {lost} |"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One's file read by the others: how many tensors it has and of how many they all find the same values.

    ``loss`` is its effect error in pictures, ``as_its_values`` that against its values in a safetensors file, and
    ``as_ours`` that against this converter's file: 0 is the same picture to the byte.
    """

    who: str
    tensors: int
    read_alike: int
    loss: Effect
    as_its_values: Effect
    as_ours: Effect


def exchanges(folder: Path, base: Base, source: Path, made: Mapping[str, Path]) -> Iterator[Exchange]:
    """Yield what comes of each one's file, given by who made it.

    All pictures are made immediately: there the library takes a file's values for what they are, so that a GGUF file
    and the safetensors file that this converter makes of it have to give the same picture.
    """
    losses = picture_loss.effects(folder, base, source, list(made.values()), "immediately")
    alike = picture_loss.effects(folder, base, made["ours"], list(made.values()), "immediately")
    for (who, path), loss, as_ours in zip(made.items(), losses, alike, strict=True):
        values = path.with_suffix(".safetensors")
        convert(path, values, anyway=True)
        [as_its_values] = picture_loss.effects(folder, base, values, [path], "immediately")
        found = list(read_alike(path, folder))
        yield Exchange(
            who=who,
            tensors=len(found),
            read_alike=sum(found),
            loss=loss,
            as_its_values=as_its_values,
            as_ours=as_ours,
        )


def exchanged(found: Iterable[Exchange]) -> Iterator[str]:
    """Yield the lines of the table of who reads whose file, and what the library draws with it."""
    yield "| file of | tensors | read alike | in pictures | as its values | as ours |"
    yield "|---|---|---|---|---|---|"
    for each in found:
        effects = (each.loss, each.as_its_values, each.as_ours)
        cells = [f"{e.error:.2%}" if e.error is not None else e.outcome for e in effects]
        yield f"| {each.who} | {each.tensors} | {each.read_alike} | {' | '.join(cells)} |"


def read_alike(path: Path, folder: Path) -> Iterator[bool]:
    """Yield for each tensor whether this reader, the gguf package and the library find the same values, to the bit."""
    packaged = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    with open_quantiser(folder) as made:
        for name, tensor in read_tensors(path).tensors.items():
            theirs = packaged[name]
            found = tensor.values().reshape(-1)
            values = gguf.quants.dequantize(theirs.data, theirs.tensor_type).reshape(-1)
            equal = np.array_equal(found, values)
            if tensor.kind in made.types():
                decoded = made.dequantise(tensor.raw().reshape(-1, len(tensor.raw())), tensor.kind)
                equal = equal and np.array_equal(found, decoded.reshape(-1))
            yield equal
