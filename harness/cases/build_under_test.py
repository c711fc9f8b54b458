"""A build together with the cases that it is put to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.cases.case import Case
from harness.cases.malformed_file_case import MalformedFileCase
from harness.records.record import Side
from sdcpp.binding.build_folder import Build


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildUnderTest:
    """A side of the comparison with the cases it is put to.

    ``repeat`` is the command that runs one case of it again, but for the case at its end. ``baseline`` is the label
    of the side whose verdicts are what is expected of this one, possibly its own; without it, expectations.toml is.
    """

    side: Side
    build: Build
    cases: Sequence[Case | MalformedFileCase]
    repeat: str
    baseline: str = ""

    @property
    def patches(self) -> frozenset[str]:
        """The names of the patches that the build has."""
        return frozenset(patch["name"] for patch in self.build.record["patches"])
