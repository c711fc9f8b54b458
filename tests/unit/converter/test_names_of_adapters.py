"""The readers of names (modules, base_weights) against the makers of names (harness.adapters.key_schemes)."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.adapters.adapter import Adapter, TargetPart, target_parts
from harness.adapters.key_schemes import SCHEMES
from harness.adapters.kinds import KINDS
from harness.converter.base_weights import BaseWeights
from harness.converter.modules import layout, scheme
from harness.formats.tensor import Tensor
from harness.models.base_model import Base
from harness.models.tiny_models import BASES

#: The parts of modules that have another name than the factor.
PARTS = {"dora_scale": "dora"}
#: The name that the reader has for each scheme: it knows only what prefixes and suffixes tell.
SCHEME_NAMES = {
    "kohya": "kohya",
    "lycoris": "lycoris",
    "processor": "diffusers",
    "layer": "diffusers",
    "peft": "peft",
    "peft-default": "peft",
    "diffusers-flux": "peft",
    "diffusers-flux-qv": "peft",
    "diffusers-flux-q": "peft",
}


def parts(base: Base, scheme: str, kind: str) -> list[TargetPart]:
    """Return all parts of all weights of a base model that the scheme has names for."""
    groups = ("linear", *base.groups)
    adapter = Adapter(name="", base=base.name, scheme=scheme, kind=kind, targets=groups)
    return list(target_parts(adapter, base))


def names(spot: TargetPart) -> dict[str, str]:
    """Return the names of all factors and scalars of a part that its scheme has names for, by the factor."""
    known = spot.scheme.own.get(spot.group) or spot.scheme.suffixes
    scalars = {"alpha", "scale"} & set(known) if spot.kind.ranked else set()
    return {factor: spot.key(factor) for factor in (*spot.kind.factors, *scalars)}


CASES = [
    (base, scheme, kind)
    for base in BASES
    for scheme in SCHEMES
    for kind in KINDS
    if SCHEMES[scheme].names(KINDS[kind]) and parts(BASES[base], scheme, kind)
]


@pytest.mark.parametrize(("base", "scheme_name", "kind"), CASES)
def test_names_are_read_as_the_weight_and_the_part_that_they_were_made_for(
    base: str, scheme_name: str, kind: str
) -> None:
    model = BASES[base]
    weights = BaseWeights(name for file in model.files.values() for name in file)
    found = parts(model, scheme_name, kind)
    made = {name: (spot, factor) for spot in found for factor, name in names(spot).items()}
    assert len(made) == sum(len(names(spot)) for spot in found)
    tensors = [Tensor(name=name, shape=(2, 2), kind="F32", path=Path("x"), offset=0) for name in made]
    read = layout(tensors)
    assert not read.strangers
    assert len(read.modules) == len(found)
    for module in read.modules.values():
        assert module.kind != "incomplete", module.lack
        spots = {id(made[tensor.name][0]): made[tensor.name][0] for tensor in module.parts.values()}
        [spot] = spots.values()
        assert {made[tensor.name][1]: part for part, tensor in module.parts.items()} == {
            factor: PARTS.get(factor, factor) for factor in names(spot)
        }
        weight = weights.find(module.key)
        assert weight is not None, module.key
        # The change of a bias goes by the name of the weight beside it.
        assert weight.name.removesuffix(".weight") == spot.place[1].rpartition(".")[0]
        assert weight.rows(spot.weight.shape) == (spot.part.start, spot.part.stop)
    assert scheme(made) == SCHEME_NAMES[scheme_name]


def test_every_scheme_and_every_kind_is_read_for_some_base_model() -> None:
    assert {scheme for _, scheme, _ in CASES} == set(SCHEMES)
    assert {kind for _, _, kind in CASES} == set(KINDS)
    assert {base for base, _, _ in CASES} == set(BASES)
