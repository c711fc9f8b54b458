"""Which revision changed the verdict on a case: halving a list of revisions until two neighbours differ."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from harness.cases import core
from harness.cases.build_under_test import BuildUnderTest
from harness.cases.matrix import BlockMaker
from harness.records.record import Records
from harness.records.verdict import Verdict
from harness.studies.history import run
from harness.verification.run import run_sides
from harness.verification.sides import RunSpec, build_sides
from sdcpp import console, git
from sdcpp.errors import EndsAlike, NothingTried, SourceInvalid
from sdcpp.patching import series
from sdcpp.process import quoted
from sdcpp.source import revision
from sdcpp.source.revision import Revision

T = TypeVar("T")
#: The verdicts that answer the spec; others say nothing of the revision, which is passed over.
_FAILS = frozenset({Verdict.NO_EFFECT, Verdict.WRONG, Verdict.ABORT, Verdict.TIMEOUT, Verdict.REFUSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Generic[T]):
    """Two candidates with different answers; those ``skipped`` between them have none, and one may be the change."""

    before: T
    after: T
    skipped: Sequence[T]


def search(
    candidates: Sequence[T], passes: Callable[[T], bool | None], name: Callable[[T], str] = str
) -> Step[T]:
    """Return where the answer changes, given that the first and the last candidate have different ones.

    ``passes`` returns None for a candidate that cannot be asked; each is asked once at most. Where the answer
    changes more than once, one of the changes is returned. Raises EndsAlike, which calls them by ``name``.
    """
    answers: dict[int, bool | None] = {}

    def asked(place: int) -> bool | None:
        if place not in answers:
            answers[place] = passes(candidates[place])
        return answers[place]

    low, high = 0, len(candidates) - 1
    first, last = asked(low), asked(high)
    if first is None or last is None or first == last:
        told = {None: "cannot be asked", True: "passes", False: "fails"}
        raise EndsAlike(
            "nothing to search between",
            f"{name(candidates[0])} {told[first]}, {name(candidates[-1])} {told[last]}",
            "give two ends of which the one passes and the other fails",
        )
    while left := [place for place in range(low + 1, high) if answers.get(place, True) is not None]:
        middle = (low + high) / 2
        place = min(left, key=lambda at: abs(at - middle))
        answer = asked(place)
        if answer is not None:
            low, high = (place, high) if answer == first else (low, place)
    return Step(before=candidates[low], after=candidates[high], skipped=candidates[low + 1 : high])


def named(good: str, bad: str) -> list[Revision]:
    """Return the revisions from the one end to the other, oldest first, one for each upstream commit.

    Raises UnknownRevision, and SourceInvalid for one that is no sdist of the registry.
    """
    groups = run.commits(revision.load())
    places = [_place(name, groups) for name in (good, bad)]
    return [group[-1] for group in groups[min(places) : max(places) + 1]]


def _place(name: str, groups: Sequence[Sequence[Revision]]) -> int:
    wanted = revision.find(name)
    for place, group in enumerate(groups):
        if wanted in group:
            return place
    raise SourceInvalid(
        "not a commit of the registry", name, "for other commits give a repository with --repo"
    )


def commits(folder: Path, good: str, bad: str) -> list[Revision]:
    """Return the commits of a checkout from the older end to the newer one, along first parents.

    Raises SourceInvalid for a name that is no commit, and where neither end is an ancestor of the other.
    """
    revision.from_folder(folder)  # raises SourceInvalid for a folder that is not there
    ends = [_commit(folder, name) for name in (good, bad)]
    for old, new in (ends, ends[::-1]):
        if git.query(folder, "merge-base", "--is-ancestor", old, new).status == 0:
            break
    else:
        raise SourceInvalid(
            "neither commit is an ancestor of the other",
            f"{good} and {bad}",
            "give two commits of one branch",
        )
    walked = git.query(folder, "log", "--first-parent", "--reverse", "--format=%H %cs", f"{old}..{new}")
    first = git.query(folder, "log", "-1", "--format=%H %cs", old)
    lines = (first.output + walked.output).split("\n")
    return [
        replace(revision.from_git(str(folder.resolve()), commit), date=date)
        for commit, date in (line.split() for line in lines if line)
    ]


def _commit(folder: Path, name: str) -> str:
    answer = git.query(folder, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    commit = answer.output.strip()
    if answer.status or not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise SourceInvalid("no such commit", f"{name} in {folder}", "git log shows those that there are")
    return commit


@dataclass(frozen=True, kw_only=True)
class CaseBisector:
    """Puts one core case to revisions; ``folder`` keeps the records of each, which a second run finds.

    ``case`` is NAME@MODE, ``side`` "pristine" or "patched", ``command`` the search's, but for the case.
    """

    case: str
    side: str
    folder: Path
    command: Sequence[str]

    def passes(self, wanted: Revision) -> bool | None:
        """Return whether the case passes on a revision; None if it cannot be built or put there."""
        try:
            build = self.build_under_test(wanted)
        except run.REVISION_FAILURES as error:
            console.note(f"{wanted.name}: passed over: {error.what}")
            return None
        records = self.verify([build], self.folder / wanted.name)
        (cell,) = records.cells
        console.note(f"{wanted.name}: {cell.verdict} {cell.evidence}".rstrip())
        return None if cell.verdict not in {*_FAILS, Verdict.PASS} else cell.verdict is Verdict.PASS

    def build_under_test(self, wanted: Revision) -> BuildUnderTest:
        """Return the built side of a revision with the one case; raises NothingTried where it has none."""
        spec = RunSpec(matrix=core.matrix(wanted.date), select=(self.case,), sides=(self.side,))
        (build,) = build_sides(wanted, series.load(), spec, BlockMaker())
        if not build.cases:
            raise NothingTried(
                "no such case", f"{self.case} on {wanted.name}", "sdcpp bisect --help lists them"
            )
        return replace(build, repeat=quoted([*self.command, "--case"]))

    def verify(self, builds: Sequence[BuildUnderTest], folder: Path) -> Records:
        """Return the records of the case on these sides."""
        return run_sides(
            builds,
            folder,
            title=f"bisect {self.case}",
            command=quoted([*self.command, "--case", self.case]),
            jobs=None,
            reuse=True,
        )

    def compare(self, step: Step[Revision]) -> Records:
        """Return the records of both sides of a step together."""
        sides = [self.build_under_test(step.before), self.build_under_test(step.after)]
        return self.verify(sides, self.folder / "step")
