"""A matrix of cases that the fake library passes, on two base models, for tests of whole runs.

The base model OTHER differs from ``fake_models.BASE`` in its name and values only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.adapters.adapter_file import AdapterFile
from harness.adapters.use import Use
from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import Case, Shot
from harness.cases.dimensions import no_adapter
from harness.cases.fixture import BlockQuantiser, Fixture
from harness.cases.matrix import Matrix
from harness.verification.sides import RunSpec, build_under_test
from sdcpp.binding.build_folder import Build
from tests.unit.fake_models import ADAPTER, BASE

OTHER = replace(BASE, name="other", seed=2)
#: The number of cases with an adapter, for each base model and mode.
ADAPTERS = 2


def changes_nothing(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield cases of adapters with multiplier 0, which must not change the picture."""
    base = fixture.base
    without = Shot(base=base, mode="auto")
    for number in range(ADAPTERS):
        adapter = replace(ADAPTER, name=f"lora-{number}", base=base.name, seed=number)
        use = Use(
            file=AdapterFile(base=base, adapter=adapter, container="safetensors", kind="F32"), multiplier=0.0
        )
        yield Case(
            name=f"adapter-{number}",
            shot=Shot(base=base, mode=mode, sequence=((use,),)),
            without=without,
            equal=without,
            dimensions={"base": base.name, "mode": mode},
        )


MATRIX = Matrix(
    dimensions=(no_adapter, changes_nothing), bases=dict.fromkeys("BC", (BASE, OTHER)), in_auto=()
)
#: The number of cells of a side for each base model: all cases in two modes.
CELLS = 2 * (ADAPTERS + 1)


def side(made: Build, label: str, *, patched: bool) -> BuildUnderTest:
    """Return a build as a side with the cases of MATRIX."""
    spec = RunSpec(matrix=MATRIX)
    return build_under_test(made, label, spec, BlockQuantiser(), patched=patched, again=("sdcpp", "verify"))
