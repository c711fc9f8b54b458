"""The study of generated mutants: build many at a time, put each to the cases, and resume after a kill."""

from __future__ import annotations

import json
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from harness.cases import proposed
from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import plan_digest, unique_shots
from harness.cases.malformed_file_case import MalformedFileCase
from harness.child_process.driver import ChildProcess
from harness.child_process.ended import ChildEnded
from harness.records.record import Records, drop_torn_line
from harness.studies.mutation.generated import GeneratedMutant, generate
from harness.studies.mutation.kill_matrix import MutantOutcome
from harness.studies.mutation.mutant_build import SOURCES, MutantBuilder, Recipe
from harness.studies.mutation.worker import Settings, Task, recipe_of, under_test
from harness.text import plural
from harness.verification.run import RECORDS, run_sides
from sdcpp import atomic_write, cache, console
from sdcpp.binding.build_folder import Build
from sdcpp.building import build
from sdcpp.errors import LibraryUnusable
from sdcpp.patching import series
from sdcpp.patching.state import find_states, patches_to_apply
from sdcpp.process import cores, quoted
from sdcpp.source import workspace
from sdcpp.source.revision import Revision

#: The folder of the cache with the sources and objects of the studies.
_CACHE = "mutation"
#: In the folder of a study: the run of the library without a mistake, and the file with a line for each mutant.
UNMUTATED, OUTCOMES = "unmutated", "outcomes.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Puts generated mutants of a revision with the project's patches to the cases of a matrix.

    ``matrix`` is a key of ``worker.MATRICES``. ``folder`` keeps the outcomes. ``builds`` mutants are built and tried at
    a time, each with ``jobs`` processes that make pictures.
    """

    revision: Revision
    matrix: str
    folder: Path
    builds: int
    jobs: int
    every: bool = False

    def prepare(self) -> Prepared:
        """Build the library without a mistake and return it; nothing is built if that has been done before.

        Raises what fetching, patching and building raise.
        """
        tree = workspace.workspace(self.revision)
        patches = patches_to_apply(find_states(tree, series.load()))
        folder = cache.root() / _CACHE / self.revision.name
        _, project = build.build_apart(tree, patches, folder)
        original, recipe = recipe_of(folder, project.folder, self.revision.target)
        builder = MutantBuilder(recipe, original, folder / "plain", folder / "workers" / "plain")
        done = folder / "plain" / "done"
        if not done.exists() or done.read_text(encoding="utf-8") != original.identity:
            console.note("compiling the units that include the adapter without optimisation")
            builder.compile_plain(min(cores(), self.builds))
            done.write_text(original.identity, encoding="utf-8")
        return Prepared(folder=folder, recipe=recipe, build=builder.build(None))

    def under_test(self, prepared: Prepared) -> BuildUnderTest:
        """Return the library without a mistake with all cases of the matrix."""
        return under_test(prepared.build, self.revision.name, self.matrix)

    def plain(self, prepared: Prepared, cases: Callable[[BuildUnderTest], BuildUnderTest]) -> Plain:
        """Run the cases on the library without a mistake.

        Cases with malformed files run twice, because such a file may make a library read memory that it has not
        written. Those that differ are left out. ``cases`` selects the cases. A finished run of the same build and cases
        is not repeated.
        """
        under = cases(self.under_test(prepared))
        supported = under.supported
        malformed = [case for case in supported if isinstance(case, MalformedFileCase)]
        first = self._plain_run(replace(under, cases=supported), UNMUTATED)
        seen = _seen(first)
        if malformed:
            again = _seen(self._plain_run(replace(under, cases=malformed), f"{UNMUTATED}-again"))
            for name in [name for name, found in again.items() if found != seen[name]]:
                console.note(f"left out, because it differs between two runs of one build: {name}")
                del seen[name]
        shots = sorted(shot.name for shot in unique_shots(supported))
        return Plain(
            plan=plan_digest([prepared.build.identity, *shots]),
            seen=seen,
            records=self.folder / UNMUTATED / RECORDS,
        )

    def _plain_run(self, under: BuildUnderTest, folder: str) -> Records:
        title = "the library without a mistake"
        command = quoted(["sdcpp", "study", "mutation", "--revision", self.revision.name])
        return run_sides([under], self.folder / folder, title=title, command=command, jobs=None, reuse=True)

    def run(
        self,
        prepared: Prepared,
        plain: Plain,
        mutants: Sequence[GeneratedMutant],
        task: Callable[[GeneratedMutant], Task],
    ) -> list[MutantOutcome]:
        """Build the mutants, run the cases on each, and return the outcomes in the order of the mutants.

        ``task`` chooses the cases to run on a mutant. Outcomes in the folder's file are not made again if the build and
        the cases are the same.
        """
        path = self.folder / OUTCOMES
        outcomes = self._recorded(path, plain)
        waiting = deque(task(mutant) for mutant in mutants if mutant.id not in outcomes)
        if len(waiting) < len(mutants):
            console.note(f"resuming: {len(mutants) - len(waiting)} of {len(mutants)} mutants have been tried")
        settings = Settings(
            folder=str(prepared.folder),
            own="",
            objects=str(prepared.recipe.cwd),
            revision=self.revision.name,
            matrix=self.matrix,
            order=ordered(plain.seen),
            plain=plain.seen,
            records=str(plain.records.resolve()),
            jobs=self.jobs,
            every=self.every,
        )
        with cache.lock(prepared.folder / "workers"), path.open("a", encoding="utf-8") as file:
            lock = threading.Lock()

            def add(outcome: MutantOutcome) -> None:
                with lock:
                    file.write(json.dumps(asdict(outcome), separators=(",", ":")) + "\n")
                    file.flush()
                    outcomes[outcome.id] = outcome
                    console.note(f"{len(outcomes)} {describe(outcome)}")

            _work(settings, prepared.folder, waiting, min(self.builds, len(waiting)), add)
        return [outcomes[mutant.id] for mutant in mutants]

    def _recorded(self, path: Path, plain: Plain) -> dict[str, MutantOutcome]:
        """Return the outcomes in a file, by id. A file of another plan begins anew."""
        head = json.dumps({"plan": plain.plan, "every": self.every, "revision": self.revision.name})
        if path.exists():
            drop_torn_line(path)
            first, *lines = path.read_text(encoding="utf-8").splitlines() or [""]
            if first == head:
                found = [MutantOutcome.from_entry(json.loads(line)) for line in lines]
                return {outcome.id: outcome for outcome in found}
        atomic_write.write(path, head + "\n")
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The folder of a study's sources and objects, how its library is built, and the build without a mistake."""

    folder: Path
    recipe: Recipe
    build: Build

    def mutants(self) -> list[GeneratedMutant]:
        """Return every mutant of the sources."""
        tree = self.recipe.tree
        files = sorted(path for path in (tree / SOURCES).rglob("*") if path.suffix in (".hpp", ".cpp"))
        sources = {path.relative_to(tree).as_posix(): path.read_text("utf-8", "replace") for path in files}
        return generate(sources)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """What the library without a mistake does: the verdict and the hash of the picture by the id of each case.

    ``records`` is the file of the run.
    """

    plan: str
    seen: Mapping[str, tuple[str, str]]
    records: Path


def _seen(records: Records) -> dict[str, tuple[str, str]]:
    """Return the verdict and the hash of the picture of each case, by its id."""
    return {
        proposed.cell_id(cell): (cell.verdict.value, cell.pictures.get("got", "")) for cell in records.cells
    }


def ordered(cases: Mapping[str, object]) -> list[str]:
    """Return the ids of cases, those first that are known to notice the most mutants."""
    place = {name: number for number, name in enumerate(proposed.read().cases)}
    return sorted(cases, key=lambda name: place.get(name, len(place)))


def describe(outcome: MutantOutcome) -> str:
    """Return a line about an outcome."""
    first = next((notice.case for notice in outcome.notices if notice.catches), "")
    by = f" by {first}" if first else ""
    reason = f" ({outcome.error})" if outcome.error else ""
    seconds = f"{outcome.built:.0f} + {outcome.ran:.0f} s"
    return f"{outcome.id}: {outcome.state}{by} after {plural(outcome.tried, 'case')}, {seconds}{reason}"


def _work(
    settings: Settings,
    folder: Path,
    waiting: deque[Task],
    count: int,
    add: Callable[[MutantOutcome], None],
) -> None:
    """Let ``count`` workers make the outcomes of the waiting mutants; raises what a worker's thread raises."""
    errors: list[BaseException] = []
    children: list[ChildProcess] = []

    def work(number: int) -> None:
        own = replace(settings, own=str(folder / "workers" / str(number)))
        try:
            while waiting and not errors:
                with closing(_start(own)) as child:
                    children.append(child)
                    _feed(child, waiting, add, errors)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    finally:  # an interrupt: no worker goes on without this process
        errors.append(KeyboardInterrupt())
        for child in children:
            child.close()
    if len(errors) > 1:
        raise errors[0]


def _start(settings: Settings) -> ChildProcess:
    child = ChildProcess([sys.executable, "-m", "harness.studies.mutation.worker"], env={})
    child.send(json.dumps(asdict(settings)).encode() + b"\n")
    return child


def _feed(
    child: ChildProcess,
    waiting: deque[Task],
    add: Callable[[MutantOutcome], None],
    errors: Sequence[BaseException],
) -> None:
    """Give a worker one mutant after another, until none waits; raises LibraryUnusable if the worker dies."""
    while not errors:
        try:
            task = waiting.popleft()
        except IndexError:
            return
        try:
            child.send(task.line())
            add(MutantOutcome.from_entry(json.loads(child.receive())))
        except ChildEnded as ended:
            raise LibraryUnusable(
                f"the worker ended ({ended.cause}): {child.stderr_tail()[-2000:]}",
                task.mutant.id,
                "run the command again; it goes on with this mutant",
            ) from ended
