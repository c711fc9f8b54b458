"""The converter (modules, base_weights) reads the names that harness.adapters.key_schemes creates."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from harness.adapters.adapter import Adapter, TargetPart, target_parts
from harness.adapters.key_schemes import FUSED_PARTS, SCHEMES
from harness.adapters.kinds import KINDS
from harness.cases.families import ALL_SCHEMES
from harness.converter.base_weights import BaseWeights
from harness.converter.modules import layout, scheme, split
from harness.formats.tensor import Tensor
from harness.layers import components, families
from harness.layers.versions import ROWS, Version
from harness.models.base_model import Base
from harness.models.families.catalogue import FAMILIES
from harness.models.tiny_models import BASES
from harness.studies.names.verdict import questions

#: The parts of a module whose name is not the name of the factor.
PARTS = {"dora_scale": "dora"}
#: The parts of a module whose tensor ends in another name.
PARTS_BY_SUFFIX = {".lora_B.bias": "up_bias"}
#: The name that the converter uses for each scheme. It depends on prefixes and suffixes only.
SCHEME_NAMES = {
    "kohya": "kohya",
    "kohya-diffusers": "kohya",
    "lycoris": "lycoris",
    "processor": "diffusers",
    "layer": "diffusers",
    "peft": "peft",
    "peft-default": "peft",
    "diffusers-flux": "peft",
    "diffusers-flux-qv": "peft",
    "diffusers-flux-q": "peft",
    "diffusers-flux-attention": "peft",
    "diffusers-flux-q-mlp": "peft",
    **{f"diffusers-flux-{part}-alone": "peft" for part in FUSED_PARTS},
    **{f"lycoris-{part}-alone": "lycoris" for part in FUSED_PARTS},
    "lycoris-qv": "lycoris",
    "diffusers": "peft",
    "onetrainer": "kohya",
    "bare": "peft",
    "comfy": "dotted",
    "videox-fun": "kohya",
    "ldm": "kohya",
    "peft-model": "peft",
}
#: The roles of the files of two CLIPs.
CLIPS = {"clip_l", "clip_g"}
#: All base models. Those of the families are smaller, and their names are tested with one kind.
MODELS = {**BASES, **FAMILIES}
#: The naming conventions that people use for adapters of the families.
FAMILY_SCHEMES = (*ALL_SCHEMES, "comfy")


def parts(base: Base, scheme: str, kind: str) -> list[TargetPart]:
    """Return all parts of all weights of a base model for which the scheme has names."""
    groups = ("linear", *base.groups)
    adapter = Adapter(name="", base=base.name, scheme=scheme, kind=kind, targets=groups)
    return list(target_parts(adapter, base))


def names(part: TargetPart) -> dict[str, str]:
    """Return the names of all factors and scalars of a part for which its scheme has names, by factor."""
    known = part.scheme.group_suffixes.get(part.group) or part.scheme.suffixes
    scalars = {"alpha", "scale"} & set(known) if part.kind.ranked else set()
    return {factor: part.key(factor) for factor in (*part.kind.factors, *scalars)}


CASES = [
    (base, scheme, kind)
    for base in BASES
    for scheme in SCHEMES
    for kind in KINDS
    if SCHEMES[scheme].can_name(KINDS[kind]) and parts(BASES[base], scheme, kind)
]
FAMILY_CASES = [
    (base, scheme, "lora")
    for base in sorted(FAMILIES)
    for scheme in FAMILY_SCHEMES
    if parts(FAMILIES[base], scheme, "lora")
]


def qualified(model: Base, role: str, name: str) -> str:
    """Return the name of a tensor of a base model, with a prefix if two CLIPs have files of their own.

    Both files have the same names; only the file tells which CLIP it is.
    """
    return f"text_encoders.{role}.transformer.{name}" if role in CLIPS <= model.files.keys() else name


@cache
def shapes_of(base: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors of a base model."""
    model = MODELS[base]
    return {
        qualified(model, role, name): weight.shape
        for role, file in model.files.items()
        for name, weight in file.items()
    }


@cache
def weights_of(base: str) -> BaseWeights:
    """Return the weights of a base model."""
    return BaseWeights(shapes_of(base))


@pytest.mark.parametrize(("base", "scheme_name", "kind"), [*CASES, *FAMILY_CASES])
def test_names_are_read_as_the_weight_and_the_part_that_they_were_made_for(
    base: str, scheme_name: str, kind: str
) -> None:
    model, weights = MODELS[base], weights_of(base)
    all_parts = parts(model, scheme_name, kind)
    sources = {name: (part, factor) for part in all_parts for factor, name in names(part).items()}
    assert len(sources) == sum(len(names(part)) for part in all_parts)
    tensors = [Tensor(name=name, shape=(2, 2), kind="F32", path=Path("x"), offset=0) for name in sources]
    read = layout(tensors)
    assert not read.other_tensors
    assert len(read.modules) == len(all_parts)
    for module in read.modules.values():
        assert module.kind != "incomplete", module.missing
        [part] = {id(part): part for part, _ in (sources[t.name] for t in module.parts.values())}.values()
        assert {sources[tensor.name][1]: name for name, tensor in module.parts.items()} == {
            factor: next(
                (p for end, p in PARTS_BY_SUFFIX.items() if name.endswith(end)), PARTS.get(factor, factor)
            )
            for factor, name in names(part).items()
        }
        weight = weights.find(module.key)
        assert weight is not None, module.key
        # The module of a bias has the name of the weight.
        assert weight.name.removesuffix(".weight") == qualified(model, *part.tensor).rpartition(".")[0]
        assert weight.rows(part.weight.shape) == (part.rows.start, part.rows.stop)
        starts = [rows.start for rows in weight.slices(shapes_of(base))]
        assert part.rows.swapped == (starts != sorted(starts))
    assert scheme(sources) == SCHEME_NAMES[scheme_name]


def test_every_scheme_and_every_kind_is_read_for_some_base_model() -> None:
    assert {scheme for _, scheme, _ in CASES + FAMILY_CASES} == set(SCHEMES)
    assert {kind for _, _, kind in CASES} == set(KINDS)
    assert {base for base, _, _ in CASES} == set(BASES)


@pytest.mark.parametrize("version", ROWS, ids=lambda version: version.title)
def test_every_name_of_every_trainer_leads_to_its_layer(version: Version) -> None:
    """The names are those of docs/names.md."""
    texts = [
        f"{at}{layer}.weight" for name, at in version.texts.items() for layer in version.text_layers(name)
    ]
    model = BaseWeights([*(f"{version.prefix}{layer}.weight" for layer, _ in version.layers()), *texts])
    for question in questions(version):
        parsed = split(question.key)
        assert parsed is not None, question.key
        weight = model.find(parsed[0])
        assert weight is not None, question.key
        assert weight.name == question.model_name, question.key
        if question.swapped:
            assert [piece.index for piece in weight.pieces] == [1, 0], question.key
        else:
            assert [piece.index for piece in weight.pieces] == [question.part], question.key


#: Versions whose names are those of another family, and the family by which they are known.
RELATIVES = {
    "SVD": "SD 1, SD 2 or SDXL",
    "Chroma Radiance": "Chroma",
    "LongCat-Image": "Flux.1",
    "SeFi-Image": "Flux.2",
    "Mage-Flow": "Qwen-Image",
}


@pytest.mark.parametrize("version", ROWS, ids=lambda version: version.title)
def test_the_layers_of_a_model_and_of_its_adapters_tell_the_family(version: Version) -> None:
    wanted = RELATIVES.get(version.title, version.family.name)
    model = BaseWeights([f"{version.prefix}{layer}.weight" for layer, _ in version.layers()])
    assert model.family is not None
    assert model.family.name == wanted
    keys: dict[str, list[str]] = {}
    for question in questions(version):
        if question.component == components.DIFFUSION:
            keys.setdefault(question.trainer.name, []).append(question.key)
    for trainer, names in keys.items():
        parsed = [split(name) for name in names]
        found = families.of_adapter(components.of_adapter(key[0]).rest for key in parsed if key)
        assert found is not None
        # The timestep embedding of LongCat-Image has a name of its own in diffusers.
        assert found.name in (wanted, version.family.name), trainer
