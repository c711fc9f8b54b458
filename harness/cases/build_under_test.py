"""A build together with the cases to run on it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.cases.case import Case
from harness.cases.malformed_file_case import MalformedFileCase
from harness.records.record import Side
from sdcpp.binding.build_folder import Build


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildUnderTest:
    """One side of a comparison: a build and the cases to run on it.

    ``repeat`` is the start of a shell command that reruns one case on this side, see ``rerun``. With ``names_base``
    that command also takes the base model, because cases of several have the same id. ``lacks`` maps features that the
    revision does not have to the reasons; see revisions.toml. ``baseline`` is the label of a side, possibly this one:
    each case is expected to do no worse than the same case on that side. If ``baseline`` is empty, expectations.toml
    says what is expected.
    """

    side: Side
    build: Build
    cases: Sequence[Case | MalformedFileCase]
    repeat: str
    names_base: bool = False
    baseline: str = ""
    lacks: Mapping[str, str] = field(default_factory=dict)

    def rerun(self, case: Case | MalformedFileCase) -> str:
        """Return the shell command that reruns a case on this side."""
        asked = shlex.quote(f"{case.name}@{case.dimensions['mode']}")
        base = f" --where base={shlex.quote(case.dimensions['base'])}" if self.names_base else ""
        return f"{self.repeat} {asked}{base}"

    @property
    def patches(self) -> frozenset[str]:
        """The names of the patches that the build contains."""
        return frozenset(patch["name"] for patch in self.build.record["patches"])

    @property
    def supported(self) -> list[Case | MalformedFileCase]:
        """The cases that need nothing that the revision or this machine lacks."""
        return [case for case in self.cases if not self.why_not_run(case)]

    def why_not_run(self, case: Case | MalformedFileCase) -> str:
        """Return the reason why a case is not run on this side, or "" if it is."""
        return (case.missing if isinstance(case, Case) else "") or self.why_unsupported(case)

    def why_unsupported(self, case: Case | MalformedFileCase) -> str:
        """Return the reason why the revision cannot do what a case needs, or "" if it can."""
        needed = (case.dimensions.get("container", ""), *case.shot.context.flags, *case.shot.base.needs)
        return next((self.lacks[name] for name in needed if name in self.lacks), "")
