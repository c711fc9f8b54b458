"""A run on the fake library: as a function, and as a program that a test can kill.

``python -m tests.unit.killable_run FOLDER BUILD_FOLDER`` runs the build in BUILD_FOLDER and writes the records
into FOLDER.
"""

from __future__ import annotations

import sys
from pathlib import Path

from harness.adapters.adapter import Adapter
from harness.adapters.adapter_file import AdapterFile
from harness.adapters.use import Use
from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import Case, Shot
from harness.records.record import Records, Side
from harness.verification.run import run_sides
from sdcpp.binding import build_folder
from sdcpp.binding.build_folder import Build
from tests.unit.fake_models import BASE

#: The number of cases.
MULTIPLIERS = 40


def build_under_test(made: Build) -> BuildUnderTest:
    """Return a side with MULTIPLIERS cases, some of which pass with the fake library and some of which are WRONG."""
    file = AdapterFile(
        base=BASE, adapter=Adapter(name="r4", base="small", rank=4), container="safetensors", kind="F32"
    )
    without = Shot(base=BASE, mode="at_runtime")
    cases = []
    for number in range(MULTIPLIERS):
        use = Use(file=file, multiplier=number % 3 + number / 64)
        cases.append(
            Case(
                name=f"times-{number}",
                shot=Shot(base=BASE, mode="at_runtime", sequence=((use,),)),
                without=without,
                # The fake adds 16 grey levels for each unit of multiplier, so fewer than 1/16 leaves it equal.
                equal=without,
                dimensions={"base": BASE.name, "mode": "at_runtime", "multiplier": str(use.multiplier)},
            )
        )
    side = Side(
        label="fake", revision="fake", patched=False, backend="cpu", identity=made.identity, build=made.record
    )
    return BuildUnderTest(side=side, build=made, cases=cases, repeat="none")


def run(folder: Path, made: Build) -> Records:
    """Run the cases of ``build_under_test`` with two workers and return the records."""
    return run_sides([build_under_test(made)], folder, title="undisturbed", command="none", jobs=2)


if __name__ == "__main__":
    run(Path(sys.argv[1]), build_folder.read(Path(sys.argv[2])))
