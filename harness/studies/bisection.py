"""Find the revision that changed the verdict on a case, by bisecting a list of revisions."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from harness.cases import core
from harness.cases.build_under_test import BuildUnderTest
from harness.cases.fixture import NO_BLOCKS, BlockQuantiser
from harness.cases.matrix import CaseSource
from harness.records.record import Records
from harness.records.verdict import NOT_JUDGED, Verdict
from harness.studies.history import run
from harness.verification.run import run_sides
from harness.verification.sides import RunSpec, build_sides
from sdcpp import console, git
from sdcpp.errors import EndsAlike, NothingTried, NotJudged, SourceInvalid
from sdcpp.patching import series
from sdcpp.process import quoted
from sdcpp.source import revision
from sdcpp.source.revision import Revision

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Generic[T]):
    """The result of a search: ``before`` passes and ``after`` fails, or the other way round.

    The candidates between them, ``skipped``, could not be tested. One of them may have changed the result.
    """

    before: T
    after: T
    skipped: Sequence[T]


def search(
    candidates: Sequence[T], passes: Callable[[T], bool | None], name: Callable[[T], str] = str
) -> Step[T]:
    """Return two candidates between which the result of ``passes`` changes, with no tested candidate between them.

    ``passes`` is called at most once for each candidate. It returns None if the candidate cannot be tested. If the
    result changes several times, one of the changes is returned.

    Raises EndsAlike if the first and the last candidate have the same result, or if one of them cannot be tested. Its
    message has their names, which ``name`` returns.
    """
    results: dict[int, bool | None] = {}

    def result_of(index: int) -> bool | None:
        if index not in results:
            results[index] = passes(candidates[index])
        return results[index]

    low, high = 0, len(candidates) - 1
    first, last = result_of(low), result_of(high)
    if first is None or last is None or first == last:
        texts = {None: "cannot be tested", True: "passes", False: "fails"}
        raise EndsAlike(
            "the two ends do not have different results",
            f"{name(candidates[0])} {texts[first]}, {name(candidates[-1])} {texts[last]}",
            "give one end that passes and one that fails",
        )
    while testable := [index for index in range(low + 1, high) if results.get(index, True) is not None]:
        middle = (low + high) / 2
        index = min(testable, key=lambda candidate: abs(candidate - middle))
        result = result_of(index)
        if result is not None:
            low, high = (index, high) if result == first else (low, index)
    return Step(before=candidates[low], after=candidates[high], skipped=candidates[low + 1 : high])


def registry_revisions(good: str, bad: str) -> list[Revision]:
    """Return the revisions of the registry from one end to the other, oldest first, one for each upstream commit.

    Either end may be the older one. Raises UnknownRevision for a name that the registry does not have, and
    SourceInvalid for a revision that is not an sdist.
    """
    groups = run.commits(revision.load())
    ends = [_index(name, groups) for name in (good, bad)]
    return [group[-1] for group in groups[min(ends) : max(ends) + 1]]


def _index(name: str, groups: Sequence[Sequence[Revision]]) -> int:
    """Return the index of the group that has the named revision."""
    wanted = revision.find(name)
    for index, group in enumerate(groups):
        if wanted in group:
            return index
    raise SourceInvalid(
        "not an sdist of the registry", name, "name an sdist, or give a repository of commits with --repo"
    )


def repository_revisions(folder: Path, good: str, bad: str) -> list[Revision]:
    """Return the commits of a git repository from one end to the other, oldest first, along first parents.

    Either end may be the older one. Raises SourceInvalid if ``folder`` is not a source tree, if a name is not a commit,
    or if neither end is an ancestor of the other.
    """
    revision.from_folder(folder)  # raises SourceInvalid if the folder does not exist
    ends = [_commit(folder, name) for name in (good, bad)]
    for old, new in (ends, ends[::-1]):
        if git.query(folder, "merge-base", "--is-ancestor", old, new).status == 0:
            break
    else:
        raise SourceInvalid(
            "neither commit is an ancestor of the other",
            f"{good} and {bad}",
            "give two commits of the same branch",
        )
    first = git.query(folder, "log", "-1", "--format=%H %cs", old)
    later = git.query(folder, "log", "--first-parent", "--reverse", "--format=%H %cs", f"{old}..{new}")
    lines = (first.output + later.output).split("\n")
    return [
        replace(revision.from_git(str(folder.resolve()), commit), date=date)
        for commit, date in (line.split() for line in lines if line)
    ]


def _commit(folder: Path, name: str) -> str:
    """Return the SHA-1 of the commit that ``name`` refers to, as hexadecimal text; raises SourceInvalid."""
    answer = git.query(folder, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    commit = answer.output.strip()
    if answer.status or not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise SourceInvalid("no such commit", f"{name} in {folder}", "git log lists the commits")
    return commit


@dataclass(frozen=True, kw_only=True)
class CaseBisector:
    """Runs one case on revisions.

    ``case`` is NAME@MODE, and ``side`` is "pristine" or "patched". ``folder`` keeps the records of each revision, and
    finished records are not made again. ``command`` is the command of the search, without the case. ``ends`` has the
    names of the two revisions on which the case must be judged. ``matrix`` returns the matrix with the case for the
    date of a revision, ``base`` is the name of the base model if the matrix has several, and ``block_quantiser`` makes
    the tensor types that the matrix needs.
    """

    case: str
    side: str
    folder: Path
    command: Sequence[str]
    ends: Collection[str] = ()
    matrix: Callable[[str | None], CaseSource] = core.matrix
    base: str = "*"
    backend: str = "cpu"
    block_quantiser: BlockQuantiser = NO_BLOCKS

    def passes(self, wanted: Revision) -> bool | None:
        """Return whether the case passes on a revision, or None if the build fails or the case cannot be judged.

        Raises NotJudged if the case cannot be judged on one of ``ends``.
        """
        try:
            build = self.build_under_test(wanted)
        except run.REVISION_FAILURES as error:
            console.note(f"{wanted.name}: skipped: {error.what}")
            return None
        records = self.verify([build], self.folder / wanted.name)
        (cell,) = records.cells
        console.note(f"{wanted.name}: {cell.verdict} {cell.evidence}".rstrip())
        if cell.verdict not in NOT_JUDGED:
            return cell.verdict is Verdict.PASS
        if wanted.name in self.ends:
            raise NotJudged(
                "the case cannot be judged on an end of the search",
                f"{wanted.name}: {cell.base_failure or cell.evidence or cell.verdict}",
                "give another revision on which the base model makes a picture",
            )
        return None

    def build_under_test(self, wanted: Revision) -> BuildUnderTest:
        """Build a revision and return the build with the case. Raises NothingTried if the revision lacks the case."""
        spec = RunSpec(
            matrix=self.matrix(wanted.date),
            backend=self.backend,
            select=(self.case,),
            where=[("base", self.base)],
            sides=(self.side,),
        )
        (build,) = build_sides(wanted, series.load(), spec, self.block_quantiser)
        if not build.cases:
            raise NothingTried(
                "no such case", f"{self.case} on {wanted.name}", "sdcpp bisect --help lists the cases"
            )
        return replace(build, repeat=quoted([*self.command, "--case"]))

    def verify(self, builds: Sequence[BuildUnderTest], folder: Path) -> Records:
        """Run the case on builds and return the records, which are kept in ``folder``."""
        return run_sides(
            builds,
            folder,
            title=f"bisect {self.case}",
            command=quoted([*self.command, "--case", self.case]),
            jobs=None,
            reuse=True,
        )

    def compare(self, step: Step[Revision]) -> Records:
        """Return common records of the two revisions of a step."""
        sides = [self.build_under_test(step.before), self.build_under_test(step.after)]
        return self.verify(sides, self.folder / "step")
