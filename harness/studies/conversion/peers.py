"""Compare three converters on one file: this project's, the library's and the gguf package.

``sdcpp study converters FILE TYPE`` runs this study. Each converter runs in a separate process
(``harness.studies.conversion.peer``). The time is that of the process and includes the start of Python and the loading
of the library.
"""

from __future__ import annotations

import os
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
class Conversion:
    """The file that a converter wrote, and the cost.

    ``seconds`` is wall-clock time, ``cpu_seconds`` the time of all cores. ``peak`` is the peak memory in MB, as "A + B"
    for the process and its largest child process.
    """

    path: Path
    seconds: float
    cpu_seconds: float
    peak: str


def measure(converter: str, folder: Path, source: Path, target: Path, kind: str) -> Conversion:
    """Convert ``source`` to ``target`` in type ``kind``, in a separate process, and return the file and the cost.

    ``converter`` is a key of ``peer.CONVERTERS`` and ``folder`` the folder of a build. Raises LibraryUnusable if the
    converter fails.
    """
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "harness.studies.conversion.peer",
        converter,
        folder,
        source,
        target,
        kind,
    ]
    before = os.times()
    start = time.perf_counter()
    done = run(command, quiet=True)
    seconds = time.perf_counter() - start
    after = os.times()
    if done.status:
        raise LibraryUnusable(
            f"converter {converter} failed: {done.output.strip().splitlines()[-1][:90]}",
            source,
            "choose another type, or a build whose library can convert",
        )
    return Conversion(
        path=target,
        seconds=seconds,
        cpu_seconds=children_seconds(before, after),
        peak=" + ".join(next(s for s in done.output.splitlines() if s.startswith("peak")).split()[1:]),
    )


def children_seconds(before: os.times_result, after: os.times_result) -> float:
    """Return the processor time in seconds of the child processes that ended between two readings."""
    user = after.children_user - before.children_user
    # Two differences, each exactly 0 if no child ended: a difference of two sums can be a little below 0.
    return user + (after.children_system - before.children_system)


def cost_table(source: Path, conversions: Mapping[str, Conversion], *, loss: bool) -> Iterator[str]:
    """Yield the lines of a Markdown table of time, memory and size, and with ``loss`` of the relative loss in ΔW."""
    yield "| converter | seconds | CPU seconds | peak memory | size | loss in ΔW |"
    yield "|---|---|---|---|---|---|"
    for converter, done in conversions.items():
        lost = f"{compare(source, done.path).relative:.4%}" if loss else ""
        size = done.path.stat().st_size / 1e6
        times = f"{done.seconds:.1f} | {done.cpu_seconds:.1f}"
        yield f"| {converter} | {times} | {done.peak} MB | {size:.2f} MB | {lost} |"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """How readers and the library handle the file of one converter.

    ``tensors`` is the number of tensors in the file. ``equal_tensors`` is the number of those whose values are the same
    for all readers. The other fields are effect errors of pictures with the file, where 0 means the same picture byte
    for byte. ``loss`` compares with the source file, ``against_values`` with a safetensors file of the same values, and
    ``against_ours`` with the file of this project's converter.
    """

    converter: str
    tensors: int
    equal_tensors: int
    loss: Effect
    against_values: Effect
    against_ours: Effect


def exchanges(folder: Path, base: Base, source: Path, files: Mapping[str, Path]) -> Iterator[Exchange]:
    """Yield the exchange of each file. ``files`` maps the name of a converter to the GGUF file that it wrote.

    All pictures are made in mode immediately, where the library dequantises the file first. A GGUF file and a
    safetensors file of the same values then give the same picture.
    """
    values = {name: path.with_suffix(".safetensors") for name, path in files.items()}
    for name, path in files.items():
        convert(path, values[name], force=True)
    made = picture_loss.pictures(folder, base, [source, *files.values(), *values.values()], "immediately")
    for converter, path in files.items():
        equal = list(equal_values(path, folder))
        yield Exchange(
            converter=converter,
            tensors=len(equal),
            equal_tensors=sum(equal),
            loss=made.effects(source, [path])[0],
            against_values=made.effects(values[converter], [path])[0],
            against_ours=made.effects(files["ours"], [path])[0],
        )


def exchange_table(rows: Iterable[Exchange]) -> Iterator[str]:
    """Yield the lines of a Markdown table with a row for each exchange."""
    yield "| file of | tensors | equal for all readers | loss in pictures | error against its values | against ours |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        effects = (row.loss, row.against_values, row.against_ours)
        cells = [f"{e.error:.2%}" if e.error is not None else e.outcome for e in effects]
        yield f"| {row.converter} | {row.tensors} | {row.equal_tensors} | {' | '.join(cells)} |"


def equal_values(path: Path, folder: Path) -> Iterator[bool]:
    """Yield for each tensor of a GGUF file whether all readers return the same values, bit by bit.

    The readers are this project's, the gguf package and, for a type that it can make, the library in ``folder``.
    """
    packaged = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    with open_quantiser(folder) as quantiser:
        for name, tensor in read_tensors(path).tensors.items():
            theirs = packaged[name]
            ours = tensor.values().reshape(-1)
            equal = np.array_equal(ours, gguf.quants.dequantize(theirs.data, theirs.tensor_type).reshape(-1))
            if tensor.kind in quantiser.types():
                decoded = quantiser.dequantise(tensor.raw().reshape(-1, len(tensor.raw())), tensor.kind)
                equal = equal and np.array_equal(ours, decoded.reshape(-1))
            yield equal
