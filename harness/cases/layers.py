"""Cases that together change every layer that an adapter can name, under each naming scheme.

Each case has one file for a whole group of layers. A layer that is dropped must still be noticed, so its share of the
group's effect has to be larger than the tolerance; see ``STRENGTHS``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from harness.adapters.adapter import Adapter
from harness.cases.case import Case
from harness.cases.dimensions import single_file_case
from harness.cases.fixture import Fixture
from harness.models.base_model import Base
from harness.models.layered_models import FLUX_LAYERS, SD1_LAYERS

#: The base model with all layers for each architecture.
BASES: Mapping[str, Base] = {base.architecture: base for base in (FLUX_LAYERS, SD1_LAYERS)}
#: The schemes that are tested for each part of each architecture. Those that can name a bias also change the biases.
SCHEMES: Mapping[str, tuple[str, ...]] = {
    "flux": ("kohya", "comfy", "lycoris", "peft", "diffusers-flux"),
    "sd1": ("kohya", "ldm", "comfy", "peft"),
    "text": ("kohya", "comfy", "peft"),
}
WITH_BIAS = frozenset({"kohya", "comfy", "lycoris", "ldm"})
#: The schemes that give the same values other names. Their cases share the wanted picture of the scheme.
_SAME_VALUES = {"comfy": "kohya", "ldm": "kohya"}
#: The strength of the adapters of each group. Adapters as strong as these make the picture depend on every layer.
STRENGTHS: Mapping[str, float] = {"norms": 4.0, "text-norms": 4.0}
_STRENGTH = 0.5


def every_layer(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield a case for each group of layers and each scheme, on the base model that has all layers."""
    base = BASES.get(fixture.base.architecture)
    for group in base.groups if base else ():
        for scheme in SCHEMES["text" if group.startswith("text") else fixture.base.architecture]:
            if scheme in WITH_BIAS or _kind(group) == "lora":
                yield _case(fixture, mode, group, scheme)


def text_layers(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield the cases of ``every_layer`` for the text encoder and for flux's text stream, with kohya's names."""
    base = BASES.get(fixture.base.architecture)
    for group in ("txt", "text"):
        if base and group in base.groups:
            yield _case(fixture, mode, group, "kohya")


def _case(fixture: Fixture, mode: str, group: str, scheme: str) -> Case:
    """Return the case of an adapter of a group of layers, named ``layers-GROUP-SCHEME-safetensors-F32``."""
    base = BASES[fixture.base.architecture]
    adapter = layered_adapter(base, group, scheme)
    fixture = replace(fixture, base=base)
    case = single_file_case(fixture, mode, adapter, "safetensors", "F32")
    same = layered_adapter(base, group, _SAME_VALUES.get(scheme, scheme))
    wanted = single_file_case(fixture, mode, same, "safetensors", "F32").wanted
    return replace(case, name=f"{adapter.name}-{case.name}", wanted=wanted)


def _kind(group: str) -> str:
    """Return the kind of the adapters of a group: differences for norms and for a layer whose input is zero."""
    if group.endswith("norms"):
        return "diff"
    return "diff-b" if group == "txt-in" else "lora"


def layered_adapter(base: Base, group: str, scheme: str) -> Adapter:
    """Return the adapter of a group of layers in a scheme.

    The difference of the bias is added if the scheme can name it.
    """
    weights = Adapter(
        name=f"layers-{group}-{scheme}",
        base=base.name,
        kind=_kind(group),
        scheme=scheme,
        targets=(group,),
        rank=4,
        alpha=2.0,
        strength=STRENGTHS.get(group, _STRENGTH),
    )
    if scheme not in WITH_BIAS or weights.kind == "diff-b":
        return weights
    return replace(weights, also=(replace(weights, name="biases", kind="diff-b", seed=8),))
