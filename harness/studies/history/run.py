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

from harness.cases import core
from harness.cases.matrix import BlockMaker
from harness.records.verdict import Verdict
from harness.verification.run import machine, run_sides
from harness.verification.sides import RunSpec, build_sides
from sdcpp import atomic_write, console, project
from sdcpp.building.finished import remove_build
from sdcpp.errors import BuildFailed, Error, FileInvalid, HeaderUnsupported, LayoutMismatch
from sdcpp.patching import series
from sdcpp.patching.patch_file import Patch
from sdcpp.source import revision, workspace
from sdcpp.source.revision import Revision, Sdist

#: Where the records lie.
RESULTS = project.ROOT / "results" / "history"
#: The patches that the patched side has: those that let a GGUF file be found, whose loader is the spec here. What
#: the whole series does is verify's spec, on the two revisions that it is for.
PATCHES = "lora-find-gguf"
#: What a revision can fail with that says something of the revision; everything else stops the run.
REVISION_FAILURES = (BuildFailed, HeaderUnsupported, LayoutMismatch)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryJudgement:
    """The verdict on one core case; ``error`` is the effect error, ``evidence`` quotes the library."""

    side: str
    case: str
    mode: str
    verdict: Verdict
    error: float | None = None
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
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
    judgements: Sequence[HistoryJudgement] = ()

    def judged(self, side: str, case: str, mode: str) -> HistoryJudgement | None:
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


def run(wanted: Revision, folder: Path, *, jobs: int | None = None, select: Sequence[str] = ()) -> HistoryRow:
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
    spec = RunSpec(matrix=core.matrix(wanted.date), select=select, command=("sdcpp", "history"))
    try:
        tree = workspace.workspace(wanted)
        fetched = time.monotonic()
        contenders = build_sides(wanted, patches(), spec, BlockMaker())
    except REVISION_FAILURES as error:
        return HistoryRow(**facts, failed=str(error))
    built = time.monotonic()
    title = f"core cases, {tree.revision.name}"
    records = run_sides(
        contenders, folder, title=title, command=f"sdcpp history --revision {wanted.name}", jobs=jobs
    )
    # As the builds themselves say, which may have been there before.
    builds = {contender.side.identity: contender.build.record["seconds"] for contender in contenders}
    seconds = {"fetch": fetched - start, "build": sum(builds.values()), "run": time.monotonic() - built}
    record = contenders[0].side.build
    return HistoryRow(
        **facts,
        generation=record["generation"],
        modes=list(dict.fromkeys(cell.dimensions["mode"] for cell in records.cells)),
        cases=list(dict.fromkeys(cell.case for cell in records.cells)),
        patches=record["states"],
        compilers=record["compilers"],
        seconds={name: round(value, 1) for name, value in seconds.items()},
        judgements=[
            HistoryJudgement(
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


def write(row: HistoryRow, folder: Path = RESULTS) -> Path:
    """Write a row's file, whole or not at all, and return its path."""
    path = folder / f"{row.revision}.jsonl"
    head = {key: value for key, value in asdict(row).items() if key != "judgements"}
    lines = [head, *(asdict(judgement) for judgement in row.judgements)]
    atomic_write.write(path, "".join(json.dumps(line) + "\n" for line in lines))
    return path


def read(path: Path) -> HistoryRow:
    """Return the row of a file; raises FileInvalid, naming the line that is none."""
    lines = path.read_text(encoding="utf-8").splitlines()
    number = 1
    try:
        row = HistoryRow(**json.loads(lines[0]))
        judgements = []
        for number, line in enumerate(lines[1:], 2):  # noqa: B007 - what the error names
            entry = json.loads(line)
            judgements.append(HistoryJudgement(**{**entry, "verdict": Verdict(entry["verdict"])}))
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise FileInvalid(
            "not a record of the history",
            f"{path}:{number} ({error})",
            "remove it and run the revision again",
        ) from error
    return HistoryRow(
        **{**{name: getattr(row, name) for name in HistoryRow.__dataclass_fields__}, "judgements": judgements}
    )


def load(folder: Path = RESULTS) -> dict[str, HistoryRow]:
    """Return all rows there are, by revision; raises FileInvalid."""
    return {row.revision: row for row in map(read, sorted(folder.glob("*.jsonl")))}


def run_all(
    wanted: Sequence[Revision], reports: Path, *, keep: bool, jobs: int | None
) -> Iterator[HistoryRow]:
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
            remove_build(one)
            shutil.rmtree(folder, ignore_errors=True)
        yield row
    if failure:
        raise failure
