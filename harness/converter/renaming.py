"""Write an adapter with the names of another program. Fused layers are put together or cut into pieces as it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from harness.converter import family_choice, layer_change, weight_change
from harness.converter.layer_groups import LayerGroup, groups, is_sdxl, row_change, weight_shape
from harness.converter.modules import Module, layout_of
from harness.converter.naming import KOHYA, Naming, naming
from harness.converter.rewriting import PLAIN, Refusal, Rewriting
from harness.converter.storage import storage
from harness.converter.weight_change import LowRank, WeightChange
from harness.formats.tensor import File, Tensor
from harness.layers import components
from harness.layers.components import DIFFUSION
from harness.layers.layer import Family, Name, Place
from sdcpp.errors import AdapterUnknown

F64 = NDArray[np.float64]


def renamed(file: File, scheme: str, family: Family | None = None) -> Rewriting:
    """Return an adapter file with the names of a scheme of ``naming.SCHEMES``.

    ``family`` is that of the diffusion model; without it the names of the file tell it.

    ΔW stays the same. The bytes of tensors whose modules need only another name are copied. Modules that the scheme
    cannot name, or whose tensors do not fit together, are refused in the result.
    """
    adapter = layout_of(file)
    found = Rewriting(file=file)
    sdxl = is_sdxl(adapter)
    of = [family] if family else family_choice.candidates(adapter)
    for group in groups(adapter, of[0] if of else None):
        names = naming(scheme, group.family, sdxl=sdxl)
        if len(of) > 1 and group.component == DIFFUSION and not names.diffusers:
            found.refuse(group.modules, family_choice.unclear(of))
            continue
        targets = names_of(group, names)
        if not targets:
            found.refuse(group.modules, f"{scheme} has no name for this layer, or its dots are not known")
            continue
        special = [module for module in group.modules if module.dora or module.kind == "replaced"]
        if special and any(group.exact(each) is None and group.touching(each) for each in targets):
            found.refuse(special, "a DoRA or a replaced weight cannot be divided or put together")
            continue
        before = len(found.plans)
        try:
            for target in targets:
                _write(found, group, target, names)
        except AdapterUnknown as error:
            found.drop_after(before)
            found.refuse(group.modules, error.what)
    for tensor in adapter.other_tensors:
        found.refused.append(Refusal(key=tensor.name, reason="the tensor is not understood"))
    return found


def names_of(group: LayerGroup, names: Naming) -> tuple[Name, ...]:
    """Return the keys for a layer, with the rows that they stand for in a layer of the group's size.

    A layer that the tables lack keeps the dots of its present name.
    """
    found = names.names(group.component, group.layer, group.family)
    if not found and group.component == DIFFUSION and len(group.modules) == 1:
        rest = _own_rest(group.modules[0])
        if rest and not names.underscores:
            return (Name(text=names.prefixes[DIFFUSION] + rest),)
        if names.underscores:
            return (Name(text=names.prefixes[DIFFUSION] + group.layer),)
    shape = weight_shape(group.modules[0])
    return tuple(_within(name, shape) for name in found)


def _own_rest(module: Module) -> str:
    """Return the name of a module's layer without its prefix, or "" if the name has no dots."""
    rest = components.of_adapter(module.key).rest
    own = module.key[len(module.key) - len(rest) :]
    return own if "." in own and own.replace(".", "_") == rest else ""


def _within(name: Name, shape: tuple[int, ...]) -> Name:
    """Return a name with the rows that it stands for in a weight of this shape."""
    place = Place(layer="", units=name.units, take=name.take, ratio=name.ratio).within(shape)
    return replace(name, units=place.units, take=place.take, ratio=0)


def _write(found: Rewriting, group: LayerGroup, target: Name, names: Naming) -> None:
    """Add the tensors for a target, unless no module of the group changes its rows."""
    module = group.exact(target)
    if module is not None:
        move(found, module, target.text, names)
        found.count("renamed")
        return
    change = partial(row_change, group, target, change=_change)
    weight, bias = change("weight"), change("bias")
    if weight is not None:
        modules = [module for module in group.modules if module.kind != "bias"]
        found.make_change(
            target.text,
            names.suffixes,
            partial(_certain, change),
            stored=storage(modules, folded=names.folded),
            folded=names.folded,
        )
    if bias is not None:
        part = "up_bias" if names.folded and isinstance(weight, LowRank) else "diff_b"
        values = partial(weight_change.rows, bias, 0, bias.shape[0])
        found.make(target.text + names.suffixes[part], bias.shape[:1], values)
    if weight is not None or bias is not None:
        found.count("divided or put together")


def _change(module: Module, parameter: str) -> WeightChange:
    return layer_change.changes(module)[parameter]


def _certain(change: Callable[[str], WeightChange | None]) -> WeightChange:
    """Return the change of a weight that is known to exist."""
    found = change("weight")
    assert found is not None  # noqa: S101 - checked by the caller
    return found


def move(found: Rewriting, module: Module, key: str, names: Naming, multiplier: float = 1.0) -> None:
    """Add the tensors of a module under another key, with ``multiplier`` times their change.

    The scale becomes a tensor of alpha or, if the scheme has none, is multiplied into the second factor. Biases of both
    kinds become one change of the bias. A replaced weight keeps the end of its name, which names with underscores lack.
    A multiplier has no meaning for a DoRA or a replaced weight.
    """
    scaled = weight_change.alpha_is_used(module)
    scale = multiplier * (weight_change.scale(module) if scaled else 1.0)
    pair = module.kind in PLAIN
    fold = names.folded and pair
    whole = "diff" if module.kind == "full" else "up" if fold else "lokr_w1" if module.rank is None else ""
    for part, tensor in module.parts.items():
        if part in ("alpha", "scale", "diff_b", "up_bias"):
            continue
        if part in ("new_weight", "new_bias"):
            if names.underscores:
                found.refuse([module], "these names have none for a replaced weight")
            else:
                found.store(key + tensor.name[len(module.key) :], tensor)
        elif part == "dora":
            _move_magnitude(found, module, key, names)
        elif part == whole and scale != 1:
            kind = storage([module], folded=True, multipliers=[multiplier]).kind
            found.make(key + names.suffixes[part], tensor.shape, partial(_scaled, tensor, scale), kind)
        else:
            found.store(key + names.suffixes[part], tensor)
    if scaled and module.rank is not None and not fold:
        found.make_alpha(key + names.suffixes["alpha"], scale * module.rank)
    if {"diff_b", "up_bias"} & set(module.parts):
        suffix = names.suffixes["up_bias" if names.folded and pair else "diff_b"]
        found.make_bias(key + suffix, module, multiplier)


def _move_magnitude(found: Rewriting, module: Module, key: str, names: Naming) -> None:
    """Add the magnitudes of a DoRA in the shape that belongs to their name. PEFT has one for each output only."""
    tensor = module.parts["dora"]
    if not module.dora_per_output:
        found.store(key + KOHYA["dora"], tensor)
    elif names.suffixes is KOHYA:
        axes = max((len(part.shape) for part in module.parts.values()), default=2)
        found.store(key + KOHYA["dora"], tensor, (tensor.size, *(1,) * (axes - 1)))
    else:
        found.store(key + names.suffixes["dora"], tensor, (tensor.size,))


def _scaled(tensor: Tensor, scale: float) -> F64:
    return scale * tensor.values().astype(np.float64)
