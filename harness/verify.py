"""The main job: build each side, run the cases on it, judge, and keep records that a killed run resumes from."""

from __future__ import annotations

import datetime
import os
import platform
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import expectation, pool, record
from harness.case import Case, Shot, plan_digest, select, unique_shots
from harness.judgement import cell_of, judge
from harness.matrix import Maker, Matrix
from harness.preparer import Preparer
from harness.quantiser import Quantiser
from harness.record import Observation, Pixels, Records, Run, Side, Writer
from harness.report.progress import Progress
from harness.robustness import MEMORY, TIMEOUT, Trial
from harness.verdict import Standing
from sdcpp import backend, build, console, device, header, output, project, sanitizer, series, source
from sdcpp.api.modes import modes as apply_modes
from sdcpp.built import Build
from sdcpp.errors import FileInvalid, NothingTried
from sdcpp.patch import Patch
from sdcpp.revision import Folder, Revision
from sdcpp.run import cores, quoted

#: The file that everything else is made from.
RECORDS = "records.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A side of the comparison with the cases it is put to.

    ``repeat`` is the command that runs one case of it again, but for the case at its end. ``baseline`` is the label
    of the side whose verdicts are what is expected of this one, possibly its own; without it, expectations.toml is.
    """

    side: Side
    build: Build
    cases: Sequence[Case | Trial]
    repeat: str
    baseline: str = ""

    @property
    def patches(self) -> frozenset[str]:
        """The names of the patches that the build has."""
        return frozenset(patch["name"] for patch in self.build.record["patches"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of every side: a matrix, a selection from it, a backend, and the command that asks it.

    ``options`` are further CMake cache entries of the builds.
    """

    matrix: Matrix
    backend: str = "cpu"
    select: Sequence[str] = ()
    where: Mapping[str, str] = field(default_factory=dict)
    sides: Sequence[str] = ("pristine", "patched")
    command: Sequence[str] = ("nox", "-s", "verify", "--")
    options: Mapping[str, str] = field(default_factory=dict)

    def again(self, *named: str) -> list[str]:
        """Return the words of the command that asks the same of what ``named`` names, but for the selection."""
        words = [*self.command, *named]
        if self.backend != "cpu":
            words += ["--backend", self.backend]
        for name, value in self.options.items():
            words += ["-D", f"{name}={value}"]
        return words


def naming(revision: Revision) -> tuple[str, str]:
    """Return the words of a command line that name a revision: a folder by its path, any other by its name."""
    origin = revision.origin
    return ("--source", str(origin.path)) if isinstance(origin, Folder) else ("--revision", revision.name)


@contextmanager
def maker_for(revision: Revision, question: Question) -> Iterator[Maker]:
    """Yield what makes the types that a question needs: the revision's own library, in a child process."""
    if not question.matrix.needs_maker:
        yield Maker()
        return
    # A sanitized library makes the same blocks, slowly.
    options = {n: value for n, value in question.options.items() if n not in sanitizer.OPTIONS}
    made = build.build(source.workspace(revision), (), question.backend, options=options)
    lock = threading.Lock()
    with Quantiser(made.folder) as quantiser:
        own = {os.getpid(): quantiser}

        def quantise(values: NDArray[np.float32], kind: str) -> NDArray[np.uint8]:
            with lock:  # files are made by several threads
                if os.getpid() not in own:  # or by a copy of this process, which needs a library of its own
                    another = own[os.getpid()] = Quantiser(made.folder, threads=1)
                    Finalize(another, another.close, exitpriority=0)
                return own[os.getpid()].quantise(values, kind)

        yield Maker(types={n: info.block for n, info in quantiser.types().items()}, quantise=quantise)


def contend(
    revision: Revision, patches: Sequence[Patch], question: Question, maker: Maker
) -> list[Contender]:
    """Build a revision pristine and with those of ``patches`` that are for it; return the sides asked for.

    Raises what fetching, patching and building raise.
    """
    console.note(f"== {revision.name}: upstream {revision.tag or revision.commit or 'working tree'}")
    tree = source.workspace(revision)
    states = series.states(tree, patches)
    for state in states:
        console.note(f"   patch {state.patch.name}: {state.state.value}")
    applied = series.needed(states)
    contenders = []
    for label in question.sides:
        made = build.build(
            tree, applied if label == "patched" else (), question.backend, options=question.options
        )
        again = question.again(*naming(revision))
        found = contender(made, label, question, maker, patched=label == "patched", again=again)
        known = {state.patch.name: state.state.value for state in states}
        contenders.append(replace(found, side=replace(found.side, build={**made.record, "states": known})))
    return contenders


def contender(
    made: Build, label: str, question: Question, maker: Maker, *, patched: bool, again: Sequence[str]
) -> Contender:
    """Return a build as a side with the question's cases; ``again`` asks the question of its revision alone."""
    modes = apply_modes(header.read(made.header))
    found = question.matrix.cases(made.record["generation"], modes, maker)
    name, used = made.record["revision"], backend.get(question.backend).device
    return Contender(
        side=Side(
            label=f"{name} {label}",
            revision=name,
            patched=patched,
            backend=question.backend,
            identity=made.identity,
            build=made.record,
            device=used.name,
            driver=used.driver,
            bases={base.name: base.sha256 for base in question.matrix.bases[made.record["generation"]]},
        ),
        build=made,
        cases=select(found, question.select, question.where),
        repeat=quoted([*again, "--select"]),
    )


def verify(
    contenders: Sequence[Contender],
    folder: Path,
    *,
    title: str,
    command: str,
    jobs: int | None,
    reuse: bool = False,
    proposal: Mapping[str, Any] | None = None,
) -> Records:
    """Run the contenders' cases, judge them, and return (and keep in ``folder``) the records.

    If ``folder`` holds the records of the same plan, killed before its end, the run is taken up there;
    with ``reuse`` one that reached its end is not run again, only judged again. ``proposal`` is kept with them.
    Raises NothingTried without cases, unless a proposal says why, and FixtureInvalid for a base model that cannot
    carry a comparison.
    """
    if not any(contender.cases for contender in contenders) and not proposal:
        raise NothingTried("no case is selected", title, "widen --select; --list shows the cases")
    path = output.folder(folder) / RECORDS
    plan = _plan(contenders)
    records = _earlier(path, plan, reuse=reuse)
    if records is not None and records.finished:
        records.cells = list(judge(contenders, records, expectation.load()))
        return records
    if records is None:
        path.unlink(missing_ok=True)
        head = Run(
            plan=plan,
            title=title,
            command=command,
            machine=machine(),
            started=_now(),
            project=project.version(),
            proposal=proposal or {},
        )
        records = Records(run=head, sides={contender.side.label: contender.side for contender in contenders})
        with Writer(path) as writer:
            writer.run(head)
            for contender in contenders:
                writer.side(contender.side)
    else:
        console.note(
            f"resuming: {len(records.observations)} pictures of an interrupted run are there already"
        )
    with Writer(path, records.pictures) as writer:
        _observe(contenders, records, writer, jobs)
        for cell in judge(contenders, records, expectation.load()):
            writer.cell(cell)
            records.cells.append(cell)
        records.finished = _now()
        writer.end(records.finished)
    return records


def _plan(contenders: Sequence[Contender]) -> str:
    parts: list[object] = []
    for contender in contenders:
        parts += [contender.side.label, contender.side.identity]
        parts += [
            (case.name, shot.name, shot.base.digest, shot.base.generation)
            for case in contender.cases
            for shot in case.shots
        ]
    return plan_digest(parts)


def _earlier(path: Path, plan: str, *, reuse: bool) -> Records | None:
    if not path.exists():
        return None
    try:
        record.drop_torn_line(path)
        records = record.read(path)
    except FileInvalid:
        return None
    # A run killed between its first judgement and its end has all pictures, but judging starts anew.
    usable = reuse if records.finished else not records.cells
    return records if usable and records.run.plan == plan else None


def _observe(contenders: Sequence[Contender], records: Records, writer: Writer, jobs: int | None) -> None:
    """Run the shots that ``records`` lacks and add what is seen to it; show the first failure at once."""
    workers, threads = pool.crew_size(cores())
    left: dict[str, tuple[Contender, list[Shot]]] = {}
    for contender in contenders:
        identity = contender.side.identity
        if identity not in left:  # else no patch tells it from the other side
            shots = unique_shots(contender.cases)
            left[identity] = contender, [s for s in shots if (identity, s.name) not in records.observations]
    expected, lock, told = expectation.load(), threading.Lock(), False
    every = [shot for _, shots in left.values() for shot in shots]
    with Preparer(every, min(jobs or workers, cores())) as prepare, Progress(len(every)) as progress:
        for contender, shots in left.values():
            side, observed = contender.side, records.of(contender.side.identity)
            users: dict[str, list[Case | Trial]] = {}
            for case in contender.cases:
                for shot in case.shots:
                    users.setdefault(shot.name, []).append(case)

            def seen(observation: Observation, pixels: Pixels | None) -> None:
                nonlocal told
                with lock:
                    records.observations[observation.build, observation.shot] = observation
                    observed[observation.shot] = observation  # noqa: B023
                    if pixels is not None and observation.picture:
                        records.pictures[observation.picture] = pixels
                    cells = [
                        cell_of(contender, case, observed, records, expected)  # noqa: B023
                        for case in users[observation.shot]  # noqa: B023
                        if all(shot.name in observed for shot in case.shots)  # noqa: B023
                    ]
                    progress.update(f"{side.label}  {observation.shot}", [cell.verdict for cell in cells])  # noqa: B023
                    red = next((cell for cell in cells if cell.standing is Standing.RED), None)
                    if red and not told and not contender.baseline:  # noqa: B023
                        told = True
                        progress.say(f"first failure: {red.side} {red.case}: {red.verdict}")
                        progress.say(f"  {red.evidence}\n  $ {red.repeat}")

            # A broken file may make a library ask for more memory than there is; a sound one must not be bounded.
            # A driver of a graphics device asks for far more address space than it ever uses.
            odd = {case.shot.name for case in contender.cases if isinstance(case, Trial)}
            patience = max(pool.TIMEOUT, backend.get(side.backend).patience)
            for batch, timeout, memory in (
                ([s for s in shots if s.name not in odd], patience, None),
                ([s for s in shots if s.name in odd], TIMEOUT, MEMORY if side.backend == "cpu" else None),
            ):
                pool.observe(
                    contender.build,
                    side.backend,
                    batch,
                    writer,
                    jobs=jobs or workers,
                    threads=threads,
                    timeout=timeout,
                    memory=memory,
                    prepare=prepare,
                    seen=seen,
                )


def machine() -> dict[str, str]:
    """Return what is worth knowing of this machine, without its name."""
    return {
        "system": platform.platform(),
        "processor": device.processor()[0].name,
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
