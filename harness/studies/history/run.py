"""Run the core cases on every revision in the registry, one after another, and keep a small record of each.

Each revision has a file in results/history/, in JSON Lines. The first line has the facts of the run, for example the
date and the machine; every other line is a judgement. Pictures are not kept; the same command makes them again.
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
from harness.cases.fixture import BlockQuantiser
from harness.judging import unjudged
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

#: The folder of the records.
RESULTS = project.ROOT / "results" / "history"
#: The patches of the patched side have names that begin with this. They make the library find a GGUF file. ``verify``
#: tests the complete series, on the two revisions that it supports.
PATCHES = "lora-find-gguf"
#: Errors that are recorded as a property of the revision. Any other error leaves it without a record.
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
    """The record of one revision.

    ``failed`` is the reason why there are no judgements, ``patches`` has the state of each patch, ``seconds`` the time
    of each step. ``cases`` are the cases that were run, in their order. ``complaints`` are the reasons why the revision
    cannot be judged, on both sides or on one: see ``harness.judging.unjudged``.
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
    complaints: Sequence[str] = field(default_factory=list)
    judgements: Sequence[HistoryJudgement] = ()

    def judged(self, side: str, case: str, mode: str) -> HistoryJudgement | None:
        """Return the judgement on a case, or None if it was not run."""
        matching = (j for j in self.judgements if (j.side, j.case, j.mode) == (side, case, mode))
        return next(matching, None)


def commits(known: Mapping[str, Revision]) -> list[tuple[Revision, ...]]:
    """Return the registry's revisions grouped by upstream commit, oldest first; the last of a group represents it.

    A fork is a group of its own.
    """
    groups: dict[str, list[Revision]] = {}
    for each in known.values():
        if isinstance(each.origin, Sdist) and each.short_commit:
            groups.setdefault(each.commit or each.short_commit, []).append(each)
    return [tuple(group) for group in groups.values()]


def representatives() -> list[Revision]:
    """Return one revision for each upstream commit in the registry, newest first."""
    return [group[-1] for group in reversed(commits(revision.load()))]


def patches() -> list[Patch]:
    """Return the patches of the patched side."""
    return [patch for patch in series.load() if patch.name.startswith(PATCHES)]


def run(wanted: Revision, folder: Path, *, jobs: int | None = None, select: Sequence[str] = ()) -> HistoryRow:
    """Build a revision without and with PATCHES, run the core cases on both builds and return the row.

    ``folder`` keeps the run's records, from which a killed run continues. ``select`` has patterns of the cases to run;
    by default all run. For a revision that fails with one of REVISION_FAILURES the row has the reason. Other errors
    are raised.
    """
    start = time.monotonic()
    base = core.base_for(wanted.date)
    facts: dict[str, Any] = {
        "revision": wanted.name,
        "commit": wanted.commit or wanted.short_commit,
        "base": base.name,
        "machine": machine(),
        "project": project.version(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    spec = RunSpec(matrix=core.matrix(wanted.date), select=select, command=("sdcpp", "history"))
    try:
        tree = workspace.workspace(wanted)
        fetched = time.monotonic()
        builds = build_sides(wanted, patches(), spec, BlockQuantiser())
    except REVISION_FAILURES as error:
        return HistoryRow(**facts, failed=str(error))
    built = time.monotonic()
    title = f"core cases, {tree.revision.name}"
    records = run_sides(
        builds, folder, title=title, command=f"sdcpp history --revision {wanted.name}", jobs=jobs
    )
    # The builds say how long they took, because they may have existed before.
    build_seconds = {build.side.identity: build.build.record["seconds"] for build in builds}
    seconds = {
        "fetch": fetched - start,
        "build": sum(build_seconds.values()),
        "run": time.monotonic() - built,
    }
    record = builds[0].side.build
    return HistoryRow(
        **facts,
        generation=record["generation"],
        modes=list(dict.fromkeys(cell.dimensions["mode"] for cell in records.cells)),
        cases=list(dict.fromkeys(cell.case for cell in records.cells)),
        patches=record["states"],
        compilers=record["compilers"],
        seconds={name: round(value, 1) for name, value in seconds.items()},
        complaints=unjudged.complaints(records.cells),
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
    """Write the file of a row atomically and return its path."""
    path = folder / f"{row.revision}.jsonl"
    head = {key: value for key, value in asdict(row).items() if key != "judgements"}
    lines = [head, *(asdict(judgement) for judgement in row.judgements)]
    atomic_write.write(path, "".join(json.dumps(line) + "\n" for line in lines))
    return path


def read(path: Path) -> HistoryRow:
    """Return the row of a file; raises FileInvalid with the number of the bad line."""
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
    """Return all rows by revision; raises FileInvalid."""
    return {row.revision: row for row in map(read, sorted(folder.glob("*.jsonl")))}


def run_all(
    wanted: Sequence[Revision], reports: Path, *, keep: bool, jobs: int | None
) -> Iterator[HistoryRow]:
    """Run revisions one after another, write the record of each and yield it.

    ``keep`` keeps trees, builds and pictures. After an error, for example of the network, the other revisions still
    run; the last error is raised at the end. Raises CheckoutNeeded in an installed sdcpp.
    """
    project.checkout()
    failure: Error | None = None
    for number, each in enumerate(wanted, 1):
        console.note(f"{each.name}: {number} of {len(wanted)}")
        folder = reports / each.name
        try:
            row = run(each, folder, jobs=jobs)
        except Error as error:
            console.warn(f"{each.name}: no record is written: {error}")
            failure = error
            continue
        write(row)
        if not keep:
            remove_build(each)
            shutil.rmtree(folder, ignore_errors=True)
        yield row
    if failure:
        raise failure
