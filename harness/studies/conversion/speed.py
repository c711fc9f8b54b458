"""How fast the converter is beside stable-diffusion.cpp's and the gguf package, measured several times in turns.

``sdcpp study converters --write-docs`` runs this study. It makes its own files: a LoRA of 500 MB and one of 10 MB.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from harness.converter.plan import PLAIN
from harness.converter.table import USUAL
from harness.studies.conversion import peers, sample_adapter
from harness.studies.conversion.peer import CONVERTERS
from harness.text import busy
from sdcpp import atomic_write, console, project
from sdcpp.binding import build_folder
from sdcpp.errors import LibraryUnusable
from sdcpp.machine import devices
from sdcpp.process import cores, load, start

COMMAND = "sdcpp study converters --write-docs"
#: The measurement from which the section is made.
RESULTS = project.ROOT / "results" / "converters.json"
#: The files: modules, width and rank.
LARGE, SMALL = (640, 3072, 64), (100, 768, 32)
#: The types that the large file is converted to.
KINDS = ("Q8_0", "Q4_0")
#: The goals: Q8_0 so many times as fast as the gguf package, Q4_0 at most the time of upstream, a table in seconds.
FASTER_THAN_PACKAGE, UPSTREAM_TIMES, TABLE_SECONDS = 5.0, 1.0, 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeRounds:
    """The rounds of one type: for each converter the wall-clock seconds and the seconds of all cores.

    ``peak`` is the peak memory of the last round in MB, of the process and of its largest child process.
    """

    kind: str
    seconds: dict[str, list[float]]
    cpu_seconds: dict[str, list[float]]
    peak: dict[str, str]

    def ratio(self, slow: str, fast: str) -> float:
        """Return the median over the rounds of the seconds of ``slow`` divided by those of ``fast``."""
        pairs = zip(self.seconds[slow], self.seconds[fast], strict=True)
        return statistics.median(a / b for a, b in pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConverterSpeed:
    """A measurement with its machine and the number of processes that wanted a core at the start (``load``).

    ``table`` has the seconds of ``sdcpp lora table`` for the small file, ``table_cpu`` those of all cores, and
    ``first_row`` those until its first row. ``table_upstream`` has those of upstream's ``convert()`` for the same
    types, once each and without measuring a loss.
    """

    build: str
    processor: str
    cores: int
    date: str
    load: float | None
    megabytes: dict[str, float]
    types: Sequence[TypeRounds]
    table: Sequence[float] = ()
    table_cpu: Sequence[float] = ()
    first_row: Sequence[float] = ()
    table_upstream: Sequence[float] = ()


def measure(folder: Path, rounds: int) -> Iterator[ConverterSpeed]:
    """Measure all converters in turns with the library in ``folder``.

    Yield the measurement after the large file, and again after each table. Raises LibraryUnusable if a converter fails.
    """
    with tempfile.TemporaryDirectory(prefix="sdcpp-converters-") as name:
        place = Path(name)
        large, small = (
            _sample(place / f"{word}.safetensors", size)
            for word, size in (("large", LARGE), ("small", SMALL))
        )
        before = load()
        measured = ConverterSpeed(
            build=_title(folder),
            processor=devices.processor()[0].name,
            cores=cores(),
            date=datetime.now(UTC).date().isoformat(),
            load=before,
            megabytes={
                word: path.stat().st_size / 1e6 for word, path in (("large", large), ("small", small))
            },
            types=[_type_rounds(folder, large, kind, rounds) for kind in KINDS],
        )
        yield measured
        for _ in range(rounds):
            whole, cpu, first = _table(folder, small)
            kinds = [kind for kind in USUAL if kind not in PLAIN]
            upstream = sum(
                peers.measure("upstream", folder, small, place / "u.gguf", kind).seconds for kind in kinds
            )
            console.note(f"   lora table {whole:.1f} s, first row after {first:.1f} s")
            measured = replace(
                measured,
                table=[*measured.table, round(whole, 2)],
                table_cpu=[*measured.table_cpu, round(cpu, 2)],
                first_row=[*measured.first_row, round(first, 2)],
                table_upstream=[*measured.table_upstream, round(upstream, 2)],
            )
            yield measured


def _title(folder: Path) -> str:
    record = build_folder.read(folder).record
    return f"{record['revision']} {'patched' if record['patches'] else 'unpatched'}"


def _sample(path: Path, size: tuple[int, int, int]) -> Path:
    modules, width, rank = size
    sample_adapter.write(path, sample_adapter.for_width(width, rank, 4.0), "F16", modules)
    return path


def _type_rounds(folder: Path, source: Path, kind: str, rounds: int) -> TypeRounds:
    """Convert a file with each converter in turns."""
    found = TypeRounds(
        kind=kind, seconds={n: [] for n in CONVERTERS}, cpu_seconds={n: [] for n in CONVERTERS}, peak={}
    )
    for number in range(1, rounds + 1):
        for converter in CONVERTERS:
            target = source.with_suffix(".gguf")
            done = peers.measure(converter, folder, source, target, kind)
            target.unlink()
            found.seconds[converter].append(round(done.seconds, 2))
            found.cpu_seconds[converter].append(round(done.cpu_seconds, 2))
            found.peak[converter] = done.peak
            console.note(f"   {kind}, round {number} of {rounds}: {converter} {done.seconds:.1f} s")
    return found


def _table(folder: Path, source: Path) -> tuple[float, float, float]:
    """Run ``sdcpp lora table`` and return its seconds, those of all cores, and those until its first row."""
    with tempfile.TemporaryFile() as errors:
        began, before = time.perf_counter(), os.times()
        process = start(
            [sys.executable, "-m", "harness", "lora", "table", source, "--build", folder],
            stderr=errors.fileno(),
        )
        assert process.stdout is not None  # noqa: S101 - a pipe, see start()
        seconds = [time.perf_counter() - began for _ in process.stdout]
        status = process.wait()
        whole, after = time.perf_counter() - began, os.times()
        errors.seek(0)
        if status or len(seconds) < 3:
            lines = errors.read().decode(errors="replace").strip().splitlines()
            raise LibraryUnusable(
                f"lora table failed: {lines[-1] if lines else status}", source, "run it alone"
            )
    cpu = peers.children_seconds(before, after)
    return whole, cpu, seconds[2]  # the first two lines are the head


def write(measured: ConverterSpeed, path: Path = RESULTS) -> None:
    """Write the measurement."""
    atomic_write.write(path, json.dumps(asdict(measured), indent=1) + "\n")


def read(path: Path = RESULTS) -> ConverterSpeed:
    """Return the measurement that ``write`` wrote."""
    entry = json.loads(path.read_text(encoding="utf-8"))
    return ConverterSpeed(**{**entry, "types": [TypeRounds(**each) for each in entry["types"]]})


def section(measured: ConverterSpeed) -> Iterator[str]:
    """Yield the lines of the section about converters on the page of benchmarks."""
    large, small = measured.megabytes["large"], measured.megabytes["small"]
    yield "## Converting LoRA files"
    yield ""
    yield f"    {COMMAND}"
    yield ""
    yield (
        f"A LoRA of {large:.0f} MB (F16, rank {LARGE[2]}, {LARGE[0]} modules) becomes GGUF. The converters take turns,"
        " each in a process of its own, and the time includes the start of Python. The library is"
        f" {measured.build}; {measured.processor}, {measured.cores} cores, {measured.date}.{busy(measured.load)}"
    )
    yield ""
    yield "| type | converter | seconds, median | of each round | CPU seconds, median | peak memory |"
    yield "|---|---|---|---|---|---|"
    for each in measured.types:
        for converter, seconds in each.seconds.items():
            rounds = ", ".join(f"{s:.1f}" for s in seconds)
            yield (
                f"| {each.kind} | {_NAMES[converter]} | {statistics.median(seconds):.1f} | {rounds}"
                f" | {statistics.median(each.cpu_seconds[converter]):.1f} | {each.peak[converter]} MB |"
            )
    yield ""
    yield "Medians of the rounds' ratios of seconds:"
    yield ""
    by_kind = {each.kind: each for each in measured.types}
    faster = by_kind["Q8_0"].ratio("gguf-py", "ours")
    yield (
        f"- Q8_0: {faster:.1f} times as fast as the gguf package. The goal of {FASTER_THAN_PACKAGE:.0f} times"
        f" {_reached(faster >= FASTER_THAN_PACKAGE)}."
    )
    times = by_kind["Q4_0"].ratio("ours", "upstream")
    yield (
        f"- Q4_0: {times:.2f} times the time of stable-diffusion.cpp. The goal of at most"
        f" {UPSTREAM_TIMES:.0f} {_reached(times <= UPSTREAM_TIMES)}. {_Q4_0}"
    )
    if not measured.table:
        return
    table, first = statistics.median(measured.table), statistics.median(measured.first_row)
    yield (
        f"- `sdcpp lora table` of a LoRA of {small:.0f} MB (F16, rank {SMALL[2]}, {SMALL[0]} modules):"
        f" {table:.1f} s ({', '.join(f'{s:.1f}' for s in measured.table)}) and"
        f" {statistics.median(measured.table_cpu):.1f} CPU seconds, the first row after {first:.1f} s. The"
        f" goal of {TABLE_SECONDS:.0f} s {_reached(table <= TABLE_SECONDS)}. It converts the file"
        f" {2 * len(USUAL) - 1} times, searches other factors of every module for eleven types, and measures each loss."
        " stable-diffusion.cpp's `convert()` takes"
        f" {statistics.median(measured.table_upstream):.1f} s for the types alone, once each and without a loss."
    )


_NAMES = {"ours": "sdcpp lora", "upstream": "stable-diffusion.cpp", "gguf-py": "gguf package"}
_Q4_0 = (
    "Both call ggml's search for scales, which takes most of the time. `sdcpp lora` also makes ggml's other rounding,"
    " decodes both and keeps the nearer one of each row, so that it never loses more. The same search was tried with"
    " numpy for many blocks at a time: it has the same bytes, but is not faster."
)


def _reached(goal: object) -> str:
    return "is reached" if goal else "is not reached"
