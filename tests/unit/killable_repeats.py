"""A comparison of two builds of the fake library with repeats: as a function, and as a program that a test can kill.

``python -m tests.unit.killable_repeats FOLDER BEFORE AFTER`` compares the builds in two build folders and writes the
records into FOLDER.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from harness.cases.build_under_test import BuildUnderTest
from harness.records.record import Records
from harness.verification.run import run_sides
from sdcpp.binding import build_folder
from sdcpp.binding.build_folder import Build
from tests.unit import fake_matrix

#: What the records say of the change.
PROPOSAL = {"local": {"before": "a", "after": "b", "commits": [], "uncommitted": [], "files": [], "same": 0}}


def run(folder: Path, before: Build, after: Build) -> Records:
    """Run cases of ``fake_matrix`` on two builds of the revision "local" with one worker, with repeats."""

    def side(build: Build, label: str) -> BuildUnderTest:
        whole = fake_matrix.side(build, label, patched=label == "after")
        cases = [case for case in whole.cases if case.dimensions == {"base": "small", "mode": "at_runtime"}]
        return replace(whole, cases=cases, baseline="local before")

    sides = [side(before, "before"), side(after, "after")]
    return run_sides(sides, folder, title="a change", command="none", jobs=1, repeats=True, proposal=PROPOSAL)


if __name__ == "__main__":
    run(Path(sys.argv[1]), build_folder.read(Path(sys.argv[2])), build_folder.read(Path(sys.argv[3])))
