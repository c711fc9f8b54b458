"""The records of a run: JSON Lines, one file, everything that a report needs, pictures included.

A line is written and flushed before the next case starts. A killed run therefore leaves a file that ends in
at most one torn line, which reading drops; the rest is taken up where it ended.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import threading
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.records.verdict import FAILING, Status, Verdict
from sdcpp.errors import FileInvalid

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The head of a file: what was asked for. ``plan`` is the digest that a resumed run must share."""

    plan: str
    title: str
    command: str
    machine: Mapping[str, str]
    started: str
    project: str
    #: What is proposed, where two states of a source are compared: see ``harness.verification.proposal``.
    proposal: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One build that took part: the label that cells refer to, the build's identity and its record.

    ``device`` and ``driver`` are those that the backend uses on this machine, "" where the system did not tell.
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
    """What happened when a shot was run with a build, without any judgement.

    ``build`` is the build's identity: two sides that no patch tells apart share their observations.

    ``outcome`` is "picture", "refused" (the library declined), "crashed", "hung", "misdirected" (another
    backend than asked for) or "failed" (the worker itself could not do its work). ``picture`` is the SHA-256
    of the pixels; ``seconds`` has "files" (making them), "open" and "generate" in wall-clock time; ``processor`` is the
    processor time of the generations, in seconds; ``memory`` is the worker's peak resident set in bytes.
    ``complaints`` counts the warnings and errors that the library logged.
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

    ``effect`` is the RMS difference in grey levels (0 to 255) between the pictures with and without the
    adapter that are wanted; ``error`` is the effect error against the wanted picture, ``tolerance`` its bound
    and ``why`` the reason for that bound; ``loss`` is the effect error against the float adapter that a
    quantised one was made from. ``pictures`` maps "without", "wanted" and "got" to pixel hashes. ``evidence``
    quotes the library. ``dimensions`` says what is varied (base, container, type, mode ...), for filters.
    ``asked`` is a digest that cells of two machines share when they are about the same files and pictures.
    ``applying`` is what a single picture with an adapter costs: wall-clock "seconds", "processor" seconds, how many
    processor seconds "more" than one without, and the peak "memory" of the process in bytes; empty without a picture.
    ``upstream`` is the command of upstream's own program that shows the same, or why there is none.
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


@dataclass(slots=True, kw_only=True)
class Records:
    """All that one file holds."""

    run: Run
    sides: dict[str, Side] = field(default_factory=dict)
    pictures: dict[str, Pixels] = field(default_factory=dict)
    observations: dict[tuple[str, str], Observation] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    finished: str = ""

    def of(self, build: str) -> dict[str, Observation]:
        """Return the observations made with one build, by shot."""
        return {shot: seen for (identity, shot), seen in self.observations.items() if identity == build}

    @property
    def failing(self) -> list[Cell]:
        """The cells that keep the run from exiting 0."""
        return [cell for cell in self.cells if cell.status in FAILING]


def digest(pixels: Pixels) -> str:
    """Return the SHA-256 of a picture's shape and pixels ([height, width, channels], uint8)."""
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def png(pixels: Pixels) -> bytes:
    """Return a picture as a PNG file."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=False, compress_level=6)
    return buffer.getvalue()


class Writer:
    """Appends records to a file, one flushed line each; safe to share between threads."""

    def __init__(self, path: Path, pictures: Iterable[str] = ()) -> None:
        """Append to ``path``, which already holds the pictures named."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()
        self._pictures = set(pictures)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _line(self, kind: str, content: Mapping[str, Any], *, synced: bool = True) -> None:
        line = json.dumps({"record": kind, **content}, separators=(",", ":")) + "\n"
        with self._lock:
            self._file.write(line)
            self._file.flush()
            if synced:
                os.fsync(self._file.fileno())

    def run(self, run: Run) -> None:
        """Write the head."""
        self._line("run", asdict(run))

    def side(self, side: Side) -> None:
        """Write which build a label stands for."""
        self._line("side", asdict(side))

    def picture(self, pixels: Pixels) -> str:
        """Write a picture unless this writer did already, and return its hash."""
        name = digest(pixels)
        with self._lock:
            known = name in self._pictures
            self._pictures.add(name)
        if not known:
            # On disk at the latest with its observation.
            picture = {"sha256": name, "png": base64.b64encode(png(pixels)).decode()}
            self._line("picture", picture, synced=False)
        return name

    def observation(self, observation: Observation) -> None:
        """Write what happened to one shot. Its picture must have been written before."""
        self._line("observation", asdict(observation))

    def cell(self, cell: Cell) -> None:
        """Write one judgement; judging again costs less than waiting for the disk."""
        self._line("cell", asdict(cell), synced=False)

    def end(self, finished: str) -> None:
        """Write the last line: the run is complete. ``finished`` is the time in ISO 8601."""
        self._line("end", {"finished": finished})


def read(path: Path) -> Records:
    """Read a records file, compressed if its name ends in .gz; a torn last line is dropped.

    Raises FileInvalid for a file that cannot be read, does not begin with a run or has a broken line in its middle.
    """
    try:
        content = path.read_bytes()
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
                break  # torn by a kill in the middle of the write
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
        with Image.open(BytesIO(base64.b64decode(entry["png"]))) as image:
            records.pictures[entry["sha256"]] = np.asarray(image)
    elif kind == "observation":
        entry["log"] = tuple(entry["log"])
        observation = Observation(**entry)
        records.observations[observation.build, observation.shot] = observation
    elif kind == "cell":
        entry["verdict"], entry["status"] = Verdict(entry["verdict"]), Status(entry["status"])
        records.cells.append(Cell(**entry))
    elif kind == "end":
        records.finished = entry["finished"]
    else:
        raise ValueError(f"unknown record {kind!r}")


def drop_torn_line(path: Path) -> None:
    """Cut off what follows the last complete line, so that appending starts on a line of its own."""
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if end != len(content):
        with path.open("r+b") as file:
            file.truncate(end)
