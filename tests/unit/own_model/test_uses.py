from __future__ import annotations

import pytest

from harness.cases.fixture import NO_BLOCKS, Fixture
from harness.cases.uses import changing_mapped, changing_multipliers, settings
from harness.models.tiny_models import FLUX_SMALL
from harness.own_model import uses


def test_the_cases_have_the_names_and_dimensions_of_those_that_run() -> None:
    fixture = Fixture(base=FLUX_SMALL, block_quantiser=NO_BLOCKS)
    real = {case.name: case.dimensions for case in settings(fixture, "immediately")}
    for like in uses.like_uses(real, "flux-small"):
        assert {**like.dimensions, "mode": "immediately"} == real[like.name]
    for case in (*changing_multipliers(fixture, "immediately"), *changing_mapped(fixture, "immediately")):
        names = [case.dimensions["use"]] if "use" in case.dimensions else []
        found = uses.like_changes("flux-small", case.dimensions.get("base type", "F16"), names)
        assert found is not None
        assert (found.name, {**found.dimensions, "mode": "immediately"}) == (case.name, case.dimensions)


def test_the_other_families_have_a_sequence_of_two_pictures() -> None:
    like = uses.like_changes("z-image", "F16")
    assert like is not None
    assert like.dimensions["sequence"] == "A-then-none"


@pytest.mark.parametrize(
    ("base", "names"),
    [("flux-small", ["mmap", "batch-2"]), ("flux-small", ["batch-2"]), ("sd1-tiny", ["mmap"])],
)
def test_no_case_changes_multipliers_with_other_uses(base: str, names: list[str]) -> None:
    assert uses.like_changes(base, "F16", names) is None


@pytest.mark.parametrize(
    ("kinds", "kind"),
    [
        ({}, "F16"),
        ({"a": "F32", "b": "F32", "c": "Q4_K"}, "F32"),
        ({"a": "Q4_K"}, "Q8_0"),
        ({"a": "BF16"}, "F16"),
        ({"a": "F8_E4M3"}, "F16"),
    ],
)
def test_the_type_of_the_model(kinds: dict[str, str], kind: str) -> None:
    assert uses.base_kind(kinds) == kind
