"""The records of a run: one file of JSON Lines with everything that a report needs, pictures included.

Every line is flushed when it is written. A killed run therefore leaves a file whose last line may be torn. Reading
drops that line, and the next run continues from there.
"""

from __future__ import annotations

import gzip
import json
import os
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.records.pictures import Pictures, Pixels, base64_png, digest
from harness.records.verdict import FAILING, Status, Verdict
from sdcpp import os_errors
from sdcpp.atomic_write import ensure_folder
from sdcpp.errors import FileInvalid, OutputRefused
from sdcpp.input_file import require_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The first line of a file: what was asked for.

    A run continues a file only if its own ``plan``, a digest of all cases and builds, is the same.
    """

    plan: str
    title: str
    command: str
    machine: Mapping[str, str]
    started: str
    project: str
    #: The proposed change by revision, if the run compares a source before and after a change: see
    #: ``harness.verification.proposal``.
    proposal: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One build of the run: the label that its cells name, the build's identity and the build's record.

    ``device`` and ``driver`` are those that the backend uses on this machine, or "" if the system does not name them.
    ``bases`` maps the name of each base model to the SHA-256 of its files.
    """

    label: str
    revision: str
    patched: bool
    backend: str
    identity: str
    build: Mapping[str, Any]
    device: str = ""
    driver: str = ""
    bases: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What happened when a build ran a shot, before any judgement.

    ``build`` is the build's identity. Two sides with the same build share its observations.

    ``outcome`` is one of "picture", "refused" (the library declined), "crashed", "hung", "misdirected" (the library ran
    on another backend than the requested one), "spoiled" (the library changed the files of the base model) and "failed"
    (the worker itself failed). ``picture`` is the SHA-256 of the pixels. ``seconds`` holds the wall-clock times "files"
    (making the files), "open" and "generate". ``processor`` is the processor time of all generations in seconds,
    ``memory`` the worker's peak resident set in bytes. ``complaints`` counts the warnings and errors in the library's
    log.
    """

    build: str
    shot: str
    outcome: str
    picture: str | None = None
    backend: str = ""
    signal: str = ""
    text: str = ""
    log: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    processor: float = 0.0
    memory: int = 0
    complaints: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The judgement of one case on one side.

    ``dimensions`` names what varies between cases (base, container, type, mode ...); filters use it.

    ``effect`` is the RMS difference in grey levels (0 to 255) between the wanted pictures with and without the adapter.
    ``error`` is the effect error of the picture against the wanted one, ``tolerance`` the largest error that passes,
    and ``why`` the reason for that tolerance. ``loss`` is the effect error of a quantised adapter against the float
    adapter that it was made from. ``pictures`` maps "without", "wanted" and "got" to pixel hashes.

    ``evidence`` quotes the library, or says how the runs of an UNSTABLE case differ. ``reason`` is that of the
    expectation that applies. ``repeat`` is the command that runs this case again. ``upstream`` is the command of
    upstream's own program that shows the same result, or the reason why there is none. ``asked`` is a digest of the
    files and pictures that the case needs: cells of two machines can be compared only if it is the same.

    ``base_failure`` is the reason why the base model makes no picture without an adapter on this side, or "" if it
    makes one. Such a side judges nothing with this base model: see ``harness.judging.unjudged``.

    ``applying`` is the cost of a single picture with an adapter: wall-clock "seconds", "processor" seconds, "more"
    processor seconds than a picture without an adapter, and the peak "memory" of the process in bytes. It is empty if
    there is no picture.
    """

    side: str
    case: str
    dimensions: Mapping[str, str]
    verdict: Verdict
    status: Status
    effect: float | None = None
    error: float | None = None
    tolerance: float | None = None
    why: str = ""
    loss: float | None = None
    evidence: str = ""
    reason: str = ""
    pictures: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    memory: int = 0
    applying: Mapping[str, float] = field(default_factory=dict)
    repeat: str = ""
    asked: str = ""
    upstream: str = ""
    base_failure: str = ""


@dataclass(slots=True, kw_only=True)
class Records:
    """The content of one file.

    ``observations`` are by build identity and shot name. ``repeats`` has later observations of the same shots, for
    which the build ran again, by build identity, shot name and the number of the repeat, which begins with 1. A file
    of an earlier version has none.
    """

    run: Run
    sides: dict[str, Side] = field(default_factory=dict)
    pictures: Pictures = field(default_factory=Pictures)
    observations: dict[tuple[str, str], Observation] = field(default_factory=dict)
    repeats: dict[tuple[str, str, int], Observation] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    finished: str = ""

    def of(self, build: str) -> dict[str, Observation]:
        """Return the observations of one build by shot name."""
        return {shot: seen for (identity, shot), seen in self.observations.items() if identity == build}

    def repeats_of(self, build: str) -> dict[int, dict[str, Observation]]:
        """Return the repeated observations of one build by the number of the repeat and the shot name."""
        found: dict[int, dict[str, Observation]] = {}
        for (identity, shot, number), seen in self.repeats.items():
            if identity == build:
                found.setdefault(number, {})[shot] = seen
        return dict(sorted(found.items()))

    @property
    def failing(self) -> list[Cell]:
        """The cells because of which the command does not exit with 0."""
        return [cell for cell in self.cells if cell.status in FAILING]


class Writer:
    """Appends records to a file, one flushed line each. Threads can share a writer.

    Every method raises OutputRefused if the file cannot be written.
    """

    def __init__(self, path: Path, pictures: Iterable[str] = ()) -> None:
        """Open ``path`` to append to it; it already holds the pictures with these hashes."""
        ensure_folder(path.parent)
        self._path = path
        with self._refusals():
            self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()
        self._pictures = set(pictures)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        with self._refusals():
            self._file.close()

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Turn what the operating system refuses into OutputRefused."""
        try:
            yield
        except OSError as error:
            advice = os_errors.advice(error, "choose another folder")
            raise OutputRefused(
                f"cannot be written ({os_errors.reason(error)})", self._path, advice
            ) from error

    def _line(self, kind: str, content: Mapping[str, Any], *, synced: bool = True) -> None:
        line = json.dumps({"record": kind, **content}, separators=(",", ":")) + "\n"
        with self._lock, self._refusals():
            self._file.write(line)
            self._file.flush()
            if synced:
                os.fsync(self._file.fileno())

    def run(self, run: Run) -> None:
        """Write the first line."""
        self._line("run", asdict(run))

    def side(self, side: Side) -> None:
        """Write the build that a label names."""
        self._line("side", asdict(side))

    def picture(self, pixels: Pixels) -> str:
        """Write a picture unless the file holds it already, and return its hash."""
        name = digest(pixels)
        with self._lock:
            known = name in self._pictures
            self._pictures.add(name)
        if not known:
            # The observation that follows is synced, and this line with it.
            self._line("picture", {"sha256": name, "png": base64_png(pixels)}, synced=False)
        return name

    def observation(self, observation: Observation, repeat: int = 0) -> None:
        """Write the observation of one shot, or of its repeat with this number.

        The picture must be in the file already.
        """
        if repeat:
            self._line("repeat", {"number": repeat, **asdict(observation)})
        else:
            self._line("observation", asdict(observation))

    def cell(self, cell: Cell) -> None:
        """Write one judgement. It is not synced: judging again costs less than waiting for the disk."""
        self._line("cell", asdict(cell), synced=False)

    def end(self, finished: str) -> None:
        """Write the last line of a complete run. ``finished`` is the time in ISO 8601."""
        self._line("end", {"finished": finished})


def read(path: Path) -> Records:
    """Read a records file, which is compressed if its name ends in .gz, and drop a torn last line.

    Pictures are decoded when they are first used. Raises FileInvalid for a file that cannot be read, does not begin
    with a run, or has a broken line before its last one.
    """
    try:
        require_file(path)
        content = path.read_bytes()
    except OSError as error:
        raise FileInvalid(f"cannot be read ({os_errors.reason(error)})", path, "check the path") from error
    try:
        lines = (gzip.decompress(content) if path.suffix == ".gz" else content).decode().split("\n")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise FileInvalid(
            f"no records ({error})", path, "give a records.jsonl file that verify wrote"
        ) from error
    records: Records | None = None
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            entry = json.loads(line)
            kind = entry.pop("record")
            if kind == "run":
                records = Records(run=Run(**entry))
            elif records is None:
                raise ValueError("the first line is not the head of a run")
            else:
                _add(records, kind, entry)
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break  # the run was killed while it wrote this line
            raise FileInvalid(
                "not a line of records",
                f"{path}:{number} ({error})",
                "give a records.jsonl file that verify wrote",
            ) from error
    if records is None:
        raise FileInvalid("no records", path, "give a records.jsonl file that verify wrote")
    return records


def _add(records: Records, kind: str, entry: dict[str, Any]) -> None:
    if kind == "side":
        records.sides[entry["label"]] = Side(**entry)
    elif kind == "picture":
        records.pictures.add_png(entry["sha256"], entry["png"])
    elif kind in ("observation", "repeat"):
        entry["log"] = tuple(entry["log"])
        number = entry.pop("number") if kind == "repeat" else 0
        observation = Observation(**entry)
        if number:
            records.repeats[observation.build, observation.shot, number] = observation
        else:
            records.observations[observation.build, observation.shot] = observation
    elif kind == "cell":
        entry["verdict"], entry["status"] = Verdict(entry["verdict"]), Status(entry["status"])
        records.cells.append(Cell(**entry))
    elif kind == "end":
        records.finished = entry["finished"]
    else:
        raise ValueError(f"unknown record {kind!r}")


def drop_torn_line(path: Path) -> None:
    """Remove what follows the last complete line of a file, so that the next record starts on a new line."""
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if end != len(content):
        with path.open("r+b") as file:
            file.truncate(end)
