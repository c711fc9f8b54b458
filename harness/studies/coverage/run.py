"""Build one side of a revision with gcov, run the cases on it, and read what they have reached."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import plan_digest
from harness.cases.matrix import CaseSource
from harness.records.record import Records
from harness.studies.coverage import counts, reach
from harness.studies.coverage.measurement import Measurement, summarise
from harness.studies.coverage.parts import PARTS, Part, files
from harness.studies.coverage.reach import Reach
from harness.verification.run import run_sides
from harness.verification.sides import RunSpec, build_sides, open_block_quantiser
from sdcpp.binding.build_folder import Build
from sdcpp.building import coverage
from sdcpp.patching import series
from sdcpp.process import quoted
from sdcpp.source import workspace
from sdcpp.source.revision import Revision


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageRun:
    """Runs cases on builds with gcov.

    ``folder`` keeps, for each build and set of cases, the records and the counters, so that an interrupted run goes
    on. ``command`` is the argument list that repeats the run.
    """

    matrix: CaseSource
    select: Sequence[str]
    folder: Path
    command: Sequence[str]
    jobs: int | None = None
    restart: bool = False
    parts: Sequence[Part] = PARTS

    def measure(self, revision: Revision, side: str) -> tuple[Measurement, Records]:
        """Return the coverage of a side of a revision, and the records of the run.

        Raises what fetching, patching, building and running raise, and what ``counts.collect`` raises.
        """
        with self._built(revision, side) as made:
            folder = self._folder(made)
            counters = folder / "counters"
            with coverage.counting_in(counters):
                records = run_sides(
                    [made],
                    folder,
                    title=f"coverage of {made.side.label}",
                    command=quoted(self.command),
                    jobs=self.jobs,
                    reuse=True,
                )
        coverage.add_notes(made.build, counters)
        lines = counts.collect(counters, *self._source(revision, made.build))
        functions, missed, partly = summarise(lines, self.parts)
        return Measurement(
            label=made.side.label,
            revision=revision.name,
            backend=made.side.backend,
            command=quoted(self.command),
            date=records.finished[:10],
            compiler=made.build.record["compilers"]["CXX"],
            verdicts=dict(Counter(cell.verdict.value for cell in records.cells).most_common()),
            functions=functions,
            missed=missed,
            partly=partly,
        ), records

    def reach(self, revision: Revision, side: str) -> Reach:
        """Return which lines each case on a side of a revision reaches. Raises as ``measure`` does."""
        with self._built(revision, side) as made:
            folder = self._folder(made) / "reach"
            tree, texts = self._source(revision, made.build)
            return reach.measure(made, revision.name, folder, tree=tree, texts=texts, jobs=self.jobs)

    @contextmanager
    def _built(self, revision: Revision, side: str) -> Iterator[BuildUnderTest]:
        """Yield the build of a side with its cases."""
        spec = RunSpec(
            matrix=self.matrix,
            select=self.select,
            sides=(side,),
            command=("sdcpp", "study", "coverage"),
            options=coverage.options(),
        )
        with open_block_quantiser(revision, spec) as block_quantiser:
            [made] = build_sides(revision, series.load(), spec, block_quantiser)
            again = ["sdcpp", "study", "coverage", "--revision", revision.name, "--side", side, "--case"]
            yield replace(made, repeat=quoted(again))

    def _folder(self, made: BuildUnderTest) -> Path:
        """Return the folder of a build and its cases; counters of others must not be added to theirs."""
        shots = [(shot.name, shot.base.digest) for case in made.cases for shot in case.shots]
        key = plan_digest([made.side.identity, *shots])[:8]
        folder = self.folder / f"{made.side.label.replace(' ', '-')}-{key}"
        if self.restart:
            shutil.rmtree(folder, ignore_errors=True)
        return folder

    def _source(self, revision: Revision, build: Build) -> tuple[Path, dict[str, list[str]]]:
        """Return the folder in which a build was compiled, and the lines of its files at the commit that was built."""
        tree = workspace.workspace(revision)
        commit = build.record["inner_commit"]
        texts = {}
        for name in files(self.parts):
            done = tree.repository.git("show", f"{commit}:{name}")
            if not done.status:
                texts[name] = done.output.splitlines()
        return tree.path, texts
