"""The cases of the model families: the adapters that people use most, on a small base model of each family."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from harness.adapters import catalogue
from harness.adapters.adapter import Adapter, target_parts
from harness.adapters.use import Use
from harness.cases.case import Case
from harness.cases.dimensions import adapter_dimensions, no_adapter, sequence_case, single_file_case
from harness.cases.fixture import Fixture, Generations
from harness.cases.matrix import QUICK, JoinedMatrices, Matrix
from harness.cases.settings import GenerationSettings
from harness.cases.uses import REFERENCE, case_with
from harness.models.families.catalogue import FAMILIES as MODELS
from harness.models.families.catalogue import RELATIVES

#: Containers and tensor types. The quantised ones are compared with their own dequantised values.
FILES = (("safetensors", "F32"), ("gguf", "F16"), ("gguf", "Q8_0"), ("gguf", "Q4_0"))
#: Further key schemes than kohya's. Each is tested as F32 safetensors, and diffusers' also as Q8_0 GGUF.
SCHEMES = (
    *("peft", "diffusers", "diffusers-flux", "bare"),
    *("kohya-diffusers", "onetrainer", "lycoris", "peft-model", "videox-fun"),
)
#: All key schemes that are tested.
ALL_SCHEMES = (catalogue.SCHEME, *SCHEMES)
#: The key schemes in which the other groups of targets are tested: text encoders, and layers outside the blocks.
TEXT_SCHEMES = (catalogue.SCHEME, "peft", "comfy", "onetrainer")
OUTER_SCHEMES = (catalogue.SCHEME, "diffusers", "bare")
#: The sequences of two generations that are tested: the second one is without the adapter, or with half of it.
SEQUENCES = ("A-then-none", "A-then-half-A")
#: Base models that differ from another one in their text encoders only. A picture takes many times as long, so they
#: have the cases of text encoders and, of the layers in the blocks, the first of ``FILES``.
TEXT_ENCODERS_ONLY = frozenset({"sd3-all"})
#: Base models without the cases of other schemes and of sequences, and the files that are tested on them.
_FEW_FILES = {
    **dict.fromkeys(TEXT_ENCODERS_ONLY, FILES[:1]),
    **dict.fromkeys(RELATIVES, (("safetensors", "F32"), ("gguf", "Q8_0"))),
}
#: The rank is a multiple of the block sizes of Q8_0 and Q4_0.
_RANK = 32
#: The strength of the adapters of other groups, which have few layers.
_GROUP_STRENGTH = 4.0
#: The group of layers outside the blocks. Its layers follow each other, so their changes multiply, and the blocks get a
#: larger input. Above a limit a picture says nothing: with strength 4 for both layers of SD 3's t_embedder, noise of
#: 1e-5 in the merged weights changes it by 19 grey levels, and with strength 2 noise of 1e-4 by less than one. So the
#: layers share the strength.
_OUTER = "outer"


def family_files(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield the cases of a LoRA with kohya's names for each of ``FILES``."""
    for container, kind in _FEW_FILES.get(fixture.base.name, FILES):
        yield single_file_case(fixture, mode, _adapter(fixture, catalogue.SCHEME), container, kind)


def family_schemes(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield the cases of a LoRA in each other key scheme that has names for the family's layers."""
    for scheme in () if fixture.base.name in _FEW_FILES else SCHEMES:
        adapter = _adapter(fixture, scheme)
        if next(target_parts(adapter, fixture.base), None) is None:
            continue
        files = (("safetensors", "F32"), ("gguf", "Q8_0")) if scheme == "diffusers" else FILES[:1]
        for container, kind in files:
            case = single_file_case(fixture, mode, adapter, container, kind)
            yield replace(case, name=f"{adapter.name}-{case.name}")


def family_groups(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield the cases of a LoRA of each other group of targets in each key scheme that has names for it.

    Kohya's runs in both apply modes: the library converts names in the same way in both.
    """
    for group, layers in () if fixture.base.name in RELATIVES else fixture.base.groups.items():
        schemes = schemes_of(group)
        strength = _GROUP_STRENGTH / (len(layers) if group == _OUTER else 1)
        for scheme in schemes if mode == "at_runtime" else schemes[:1]:
            lora = _adapter(fixture, scheme)
            adapter = replace(lora, name=f"lora-{group}-{scheme}", targets=(group,), strength=strength)
            if next(target_parts(adapter, fixture.base), None) is not None:
                case = single_file_case(fixture, mode, adapter, "safetensors", "F32")
                yield replace(case, name=f"{adapter.name}-{case.name}")


def schemes_of(group: str) -> tuple[str, ...]:
    """Return the key schemes in which a group of targets other than the layers in the blocks is tested."""
    return TEXT_SCHEMES if group.startswith("text") else OUTER_SCHEMES


def family_references(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield the case of a LoRA with kohya's names while the model edits a reference picture, if the model can do that.

    The tokens of that picture go through the same layers as those of the new one.
    """
    if fixture.base.edits:
        adapter = _adapter(fixture, catalogue.SCHEME)
        use = Use(file=fixture.file(adapter, "safetensors", "F32"))
        case = case_with(use, mode, REFERENCE, generation=GenerationSettings(ref_image=True))
        yield replace(case, dimensions={**case.dimensions, **adapter_dimensions(adapter)})


def family_sequences(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield the cases of ``SEQUENCES``, with kohya's names and a float file, which every revision merges."""
    if fixture.base.name in _FEW_FILES:
        return
    adapter = _adapter(fixture, catalogue.SCHEME)
    use = Use(file=fixture.file(adapter, "gguf", "F16"))
    half = replace(use, multiplier=0.5)
    last: Generations = ((), (half,))
    for name, uses in zip(SEQUENCES, last, strict=True):
        varied = adapter_dimensions(adapter) | {"sequence": name}
        yield sequence_case(name, ((use,), uses), wanted=uses, mode=mode, varied=varied)


def _adapter(fixture: Fixture, scheme: str) -> Adapter:
    return Adapter(name=f"lora-{scheme}", base=fixture.base.name, rank=_RANK, alpha=_RANK / 2, scheme=scheme)


#: ``verify --matrix families``.
FAMILIES = Matrix(
    dimensions=(
        *(no_adapter, family_files, family_schemes, family_groups, family_references),
        family_sequences,
    ),
    bases={"B": (), "C": tuple(MODELS.values())},
    in_auto=(no_adapter,),
)


def family_quantised(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield the case of a Q8_0 GGUF LoRA with kohya's names, as ``family_files`` does."""
    yield single_file_case(fixture, mode, _adapter(fixture, catalogue.SCHEME), "gguf", "Q8_0")


#: Kinds of models beside Flux and the UNet, the smallest of each: one whose text and picture have streams of their own,
#: as in SD 3, and one with a language model and a single stream.
OTHER_KINDS = (MODELS["minit2i"], MODELS["z-image"])
#: ``verify --matrix quick``: the files of the smallest base model, and one file for each other kind of model of which a
#: picture costs less than 0.6 s of processor time.
QUICK_WITH_FAMILIES = JoinedMatrices(
    matrices=(
        QUICK,
        Matrix(dimensions=(family_quantised,), bases={"B": (), "C": OTHER_KINDS}, in_auto=()),
    )
)


def with_bases(names: Collection[str]) -> Matrix:
    """Return ``FAMILIES`` with the base models of these names only, so that no others are written."""
    bases = tuple(base for base in MODELS.values() if base.name in names)
    return replace(FAMILIES, bases={"B": (), "C": bases})
