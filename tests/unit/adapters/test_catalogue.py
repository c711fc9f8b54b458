from __future__ import annotations

import numpy as np
import pytest

from harness.adapters import catalogue
from harness.adapters.key_schemes import SCHEMES
from harness.adapters.kinds import KINDS
from harness.models.base_model import Base
from harness.models.tiny_models import FLUX_SMALL, SD1_TINY
from tests.unit.adapters.merging import merge

BOTH = pytest.mark.parametrize("base", [FLUX_SMALL, SD1_TINY], ids=lambda base: base.name)


def test_every_kind_and_every_scheme_is_tried_somewhere() -> None:
    everything = [a for base in (FLUX_SMALL, SD1_TINY) for a in catalogue.adapters(base).values()]
    assert {a.kind for a in everything} == set(KINDS)
    assert {a.scheme for a in everything} == set(SCHEMES)
    assert {group for a in everything for group in a.targets} == set(catalogue.GROUPS)


def test_the_dimensions_are_all_there() -> None:
    made = catalogue.adapters(FLUX_SMALL).values()
    assert {a.rank for a in made if a.kind == "lora"} == {1, 4, 16, 32, 128, 256, (4, 16, 32, 128)}
    assert {a.alpha_type for a in made} == {None, "F32", "F16", "BF16"}
    assert {a.form for a in made} == {"alpha", "scale"}
    assert {None, "rank"} < {a.alpha for a in made}


@BOTH
def test_names_are_unique_and_recipes_too(base: Base) -> None:
    names = [adapter.name for adapter in catalogue._all(base.name)]
    assert len(set(names)) == len(names)
    made = catalogue.adapters(base)
    recipes = {(a.rank, a.alpha, a.kind, a.scheme, a.targets, a.form, a.alpha_type) for a in made.values()}
    assert len(recipes) == len(made)
    assert all(name == adapter.name and adapter.base == base.name for name, adapter in made.items())


def reasons_of(base: Base) -> dict[str, str]:
    return {name: reason for names, reason in catalogue.left_out(base) for name in names.split(", ")}


@BOTH
def test_what_is_left_out_has_a_reason(base: Base) -> None:
    made = catalogue.adapters(base)
    reasons = reasons_of(base)
    assert all(adapter.name in made or reasons[adapter.name] for adapter in catalogue._all(base.name))
    assert not set(made) & set(reasons)
    assert all(reasons.values())


def test_reasons_say_what_is_missing() -> None:
    flux = reasons_of(FLUX_SMALL)
    assert flux["lora-conv3x3"] == "flux-small has no targets in conv3x3"
    assert flux["lora-layer"] == "layer has no names for linear of flux-small"
    assert flux["loha*-peft"] == "peft has no names for their factors"


def test_every_adapter_of_the_small_base_changes_something_and_its_names_are_read_back() -> None:
    for adapter in catalogue.adapters(FLUX_SMALL).values():
        if "text" in adapter.targets or adapter.rank == 256:
            continue  # large; the same code
        tensors = adapter.tensors(FLUX_SMALL)
        merged = merge(FLUX_SMALL, tensors, adapter=adapter)
        assert merged, adapter.name
        for place, array in merged.items():
            base = FLUX_SMALL.values(place)
            change = np.linalg.norm(array - base) / np.linalg.norm(base)
            assert change > 0.2, (adapter.name, place)
            assert np.isfinite(array).all()
