"""Every revision in the registry put to the core cases, one at a time, and the small records that are kept of it.

One file a revision in results/history/, JSON Lines: first a line that says what was run, when and on what, then
one line a judgement. Pictures are not kept; the same command makes them again.
"""

from __future__ import annotations

import datetime
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness import core
from harness.matrix import Maker
from harness.verdict import Verdict
from harness.verify import Question, contend, machine, verify
from sdcpp import cache, console, output, project, revision, series, source
from sdcpp.errors import BuildFailed, Error, FileInvalid, HeaderUnsupported, LayoutMismatch
from sdcpp.patch import Patch
from sdcpp.revision import Revision, Sdist

#: Where the records lie.
RESULTS = project.ROOT / "results" / "history"
#: The patches that the patched side has: those that let a GGUF file be found, whose loader is the question here. What
#: the whole series does is verify's question, on the two revisions that it is for.
PATCHES = "lora-find-gguf"
#: What a revision can fail with that says something of the revision; everything else stops the run.
TELLING = (BuildFailed, HeaderUnsupported, LayoutMismatch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict on one core case; ``error`` is the effect error, ``evidence`` quotes the library."""

    side: str
    case: str
    mode: str
    verdict: Verdict
    error: float | None = None
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is known of one revision.

    ``failed`` says why there are no judgements; ``patches`` has the state of each patch of the series; ``seconds``
    says where the time went. ``cases`` are those that were put to it, in their order.
    """

    revision: str
    commit: str
    base: str
    generation: str = ""
    modes: Sequence[str] = ()
    cases: Sequence[str] = ()
    patches: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=dict)
    compilers: Mapping[str, str] = field(default_factory=dict)
    project: str = ""
    date: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    failed: str = ""
    judgements: Sequence[Judgement] = ()

    def judged(self, side: str, case: str, mode: str) -> Judgement | None:
        """Return the judgement on a case, or None if it was not put."""
        found = (j for j in self.judgements if (j.side, j.case, j.mode) == (side, case, mode))
        return next(found, None)


def commits(known: Mapping[str, Revision]) -> list[tuple[Revision, ...]]:
    """Return the revisions of the registry by their upstream commit, oldest first; the last of each stands for all."""
    groups: dict[str, list[Revision]] = {}
    for found in known.values():
        if isinstance(found.origin, Sdist) and found.commit:
            groups.setdefault(found.commit, []).append(found)
    return [tuple(group) for group in groups.values()]


def representatives() -> list[Revision]:
    """Return one revision for each upstream commit of the registry, newest first."""
    return [group[-1] for group in reversed(commits(revision.load()))]


def patches() -> list[Patch]:
    """Return the patches of the patched side."""
    return [patch for patch in series.load() if patch.name.startswith(PATCHES)]


def run(wanted: Revision, folder: Path, *, jobs: int | None = None, select: Sequence[str] = ()) -> Row:
    """Build a revision as it is and with PATCHES, put the core cases to both, and return what came of it.

    ``folder`` keeps the run's own records, from which a killed run is taken up; ``select`` are patterns of the cases
    that are put, all by default. A revision that cannot be built or bound is a row that says so; raises what keeps
    the work itself from being done.
    """
    start = time.monotonic()
    base = core.base_for(wanted.date)
    facts: dict[str, Any] = {
        "revision": wanted.name,
        "commit": wanted.commit or "",
        "base": base.name,
        "machine": machine(),
        "project": project.version(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    question = Question(matrix=core.matrix(wanted.date), select=select, command=("sdcpp", "history"))
    try:
        tree = source.workspace(wanted)
        fetched = time.monotonic()
        contenders = contend(wanted, patches(), question, Maker())
    except TELLING as error:
        return Row(**facts, failed=str(error))
    built = time.monotonic()
    title = f"core cases, {tree.revision.name}"
    records = verify(
        contenders, folder, title=title, command=f"sdcpp history --revision {wanted.name}", jobs=jobs
    )
    # As the builds themselves say, which may have been there before.
    builds = {contender.side.identity: contender.build.record["seconds"] for contender in contenders}
    seconds = {"fetch": fetched - start, "build": sum(builds.values()), "run": time.monotonic() - built}
    record = contenders[0].side.build
    return Row(
        **facts,
        generation=record["generation"],
        modes=list(dict.fromkeys(cell.dimensions["mode"] for cell in records.cells)),
        cases=list(dict.fromkeys(cell.case for cell in records.cells)),
        patches=record["states"],
        compilers=record["compilers"],
        seconds={name: round(value, 1) for name, value in seconds.items()},
        judgements=[
            Judgement(
                side="patched" if records.sides[cell.side].patched else "pristine",
                case=cell.case,
                mode=cell.dimensions["mode"],
                verdict=cell.verdict,
                error=None if cell.error is None else round(cell.error, 4),
                evidence=cell.evidence,
            )
            for cell in records.cells
        ],
    )


def write(row: Row, folder: Path = RESULTS) -> Path:
    """Write a row's file, whole or not at all, and return its path."""
    path = folder / f"{row.revision}.jsonl"
    head = {key: value for key, value in asdict(row).items() if key != "judgements"}
    lines = [head, *(asdict(judgement) for judgement in row.judgements)]
    output.write(path, "".join(json.dumps(line) + "\n" for line in lines))
    return path


def read(path: Path) -> Row:
    """Return the row of a file; raises FileInvalid, naming the line that is none."""
    lines = path.read_text(encoding="utf-8").splitlines()
    number = 1
    try:
        row = Row(**json.loads(lines[0]))
        judgements = []
        for number, line in enumerate(lines[1:], 2):  # noqa: B007 - what the error names
            entry = json.loads(line)
            judgements.append(Judgement(**{**entry, "verdict": Verdict(entry["verdict"])}))
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise FileInvalid(
            "not a record of the history",
            f"{path}:{number} ({error})",
            "remove it and run the revision again",
        ) from error
    return Row(
        **{**{name: getattr(row, name) for name in Row.__dataclass_fields__}, "judgements": judgements}
    )


def load(folder: Path = RESULTS) -> dict[str, Row]:
    """Return all rows there are, by revision; raises FileInvalid."""
    return {row.revision: row for row in map(read, sorted(folder.glob("*.jsonl")))}


def drop(wanted: Revision) -> None:
    """Remove what building a revision left in the cache, its tree and its builds, but for its download."""
    root = cache.root()
    for folder in ("trees", "builds"):
        for path in (root / folder).glob(f"{wanted.name}-*"):
            if path.is_dir():
                cache.remove(path)


def run_all(wanted: Sequence[Revision], reports: Path, *, keep: bool, jobs: int | None) -> Iterator[Row]:
    """Run revisions one after the other, keep the record of each, and yield it.

    ``keep`` leaves trees, builds and pictures where they are. A revision that could not be fetched, say, does not keep
    the others from being run; the last such error is raised at the end.
    """
    failure: Error | None = None
    for number, one in enumerate(wanted, 1):
        console.note(f"{one.name}: {number} of {len(wanted)}")
        folder = reports / one.name
        try:
            row = run(one, folder, jobs=jobs)
        except Error as error:
            console.warn(f"{one.name}: left without a record: {error}")
            failure = error
            continue
        write(row)
        if not keep:
            drop(one)
            shutil.rmtree(folder, ignore_errors=True)
        yield row
    if failure:
        raise failure
