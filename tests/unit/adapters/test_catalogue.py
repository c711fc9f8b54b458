from __future__ import annotations

import numpy as np
import pytest

from harness.adapters import catalogue
from harness.adapters.key_schemes import SCHEMES
from harness.adapters.kinds import KINDS
from harness.cases import families
from harness.models.base_model import Base
from harness.models.tiny_models import FLUX_SMALL, SD1_TINY
from tests.unit.adapters.merging import merge

BOTH = pytest.mark.parametrize("base", [FLUX_SMALL, SD1_TINY], ids=lambda base: base.name)


def test_every_kind_scheme_and_group_is_tested() -> None:
    everything = [a for base in (FLUX_SMALL, SD1_TINY) for a in catalogue.adapters(base).values()]
    assert {a.kind for a in everything} == set(KINDS)
    # The matrix of the model families has the scheme of their names in diffusers.
    # That of all layers has the schemes of one part alone.
    alone = {name for name in SCHEMES if name.endswith("-alone")}
    assert {a.scheme for a in everything} | set(families.ALL_SCHEMES) | alone == set(SCHEMES)
    assert {group for a in everything for group in a.targets} == {*catalogue.GROUPS, catalogue.SQUARE}


def test_ranks_alphas_and_forms_are_varied() -> None:
    included = catalogue.adapters(FLUX_SMALL).values()
    assert {a.rank for a in included if a.kind == "lora"} == {1, 4, 16, 32, 128, 256, (4, 16, 32, 128)}
    assert {a.alpha_type for a in included} == {None, "F32", "F16", "BF16"}
    assert {a.form for a in included} == {"alpha", "scale", "kernels"}
    assert {None, "rank"} < {a.alpha for a in included}


def test_the_factors_of_square_layers_are_square() -> None:
    square = [a for a in catalogue.adapters(FLUX_SMALL).values() if a.targets == (catalogue.SQUARE,)]
    assert {a.kind for a in square} == {"lora", "loha", "dora", "dora-in", "lokr-w1", "lokr-w2", "lokr-both"}
    for adapter in square:
        shapes = {array.shape for array in adapter.tensors(FLUX_SMALL).values() if array.size > 1}
        if adapter.kind.startswith("dora"):
            assert {(256, 16), (16, 256)} < shapes  # the layer is square
        else:
            assert all(len(shape) == 2 and shape[0] == shape[1] for shape in shapes), adapter.name


def test_every_kind_of_factors_is_tested_where_parts_of_a_fused_layer_are_missing() -> None:
    found = catalogue.adapters(FLUX_SMALL).values()
    kinds = {a.kind for a in found if a.scheme == "lycoris-qv"}
    assert kinds == {"lora", "loha", "lokr", "lokr-w1", "lokr-w2", "lokr-both"}


@BOTH
def test_names_and_recipes_are_unique(base: Base) -> None:
    names = [adapter.name for adapter in catalogue._all(base.name)]
    assert len(set(names)) == len(names)
    included = catalogue.adapters(base)
    recipes = {
        (a.rank, a.alpha, a.kind, a.scheme, a.targets, a.form, a.alpha_type) for a in included.values()
    }
    assert len(recipes) == len(included)
    assert all(name == adapter.name and adapter.base == base.name for name, adapter in included.items())


def reasons_of(base: Base) -> dict[str, str]:
    return {name: reason for names, reason in catalogue.left_out(base) for name in names.split(", ")}


@BOTH
def test_every_adapter_that_is_left_out_has_a_reason(base: Base) -> None:
    included = catalogue.adapters(base)
    reasons = reasons_of(base)
    assert all(adapter.name in included or reasons[adapter.name] for adapter in catalogue._all(base.name))
    assert not set(included) & set(reasons)
    assert all(reasons.values())


def test_a_reason_names_the_group_or_the_scheme() -> None:
    flux = reasons_of(FLUX_SMALL)
    assert flux["lora-conv3x3"] == "flux-small has no targets in conv3x3"
    assert flux["lora-layer"] == "key scheme layer has no names for linear of flux-small"
    assert flux["loha*-peft"] == "key scheme peft has no names for the factors"


def test_every_adapter_changes_the_weights_of_its_base_model() -> None:
    for adapter in catalogue.adapters(FLUX_SMALL).values():
        if "text" in adapter.targets or adapter.rank == 256:
            continue  # slow; the code is the same
        tensors = adapter.tensors(FLUX_SMALL)
        merged = merge(FLUX_SMALL, tensors, adapter=adapter)
        assert merged, adapter.name
        for tensor, array in merged.items():
            base = FLUX_SMALL.values(tensor)
            change = np.linalg.norm(array - base) / np.linalg.norm(base)
            assert change > 0.2, (adapter.name, tensor)
            assert np.isfinite(array).all()
