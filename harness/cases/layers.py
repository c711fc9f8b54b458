"""Cases that together change every layer that an adapter can name, under each naming scheme.

Each case has one file for a whole group of layers. If the library drops a layer, the picture must still change by more
than the tolerance. ``_STRENGTHS`` is chosen so that it does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from harness.adapters.adapter import Adapter, target_parts
from harness.adapters.key_schemes import FUSED_PARTS
from harness.cases.case import Case
from harness.cases.dimensions import single_file_case
from harness.cases.fixture import Fixture
from harness.models.base_model import Base
from harness.models.families.unet import SDXL_FUSED
from harness.models.layered_models import FLUX_ATTENTIVE, FLUX_LAYERS, SD1_LAYERS

#: The base model with all layers for each architecture.
BASES: Mapping[str, Base] = {base.architecture: base for base in (FLUX_LAYERS, SD1_LAYERS)}
#: The schemes of the diffusion model of each architecture, and of the text encoder.
SCHEMES: Mapping[str, tuple[str, ...]] = {
    "flux": ("kohya", "diffusers-flux", "comfy", "lycoris"),
    "sd1": ("kohya", "peft", "comfy", "ldm"),
    "text": ("kohya", "peft", "comfy"),
}
#: The schemes in which biases and norms are tested, too: one with underscores and one with dots.
VECTOR_SCHEMES = ("kohya", "comfy")
#: The schemes that run in both apply modes. The library converts the names in the same way in both, so the other
#: schemes run in mode at_runtime only.
_IN_BOTH_MODES = ("kohya", "diffusers-flux")
#: The schemes that give the values of another scheme other names. Their cases have the same wanted picture.
_SAME_VALUES = {
    **{"comfy": "kohya", "ldm": "kohya", "peft": "kohya"},
    **{f"lycoris-{part}-alone": f"diffusers-flux-{part}-alone" for part in FUSED_PARTS},
}
#: The strengths of the adapters by group or kind; ``_STRENGTH`` is that of all others. The tolerance is 4 %. Measured
#: on flux-layers (2026-05, CPU, at run time): without one matrix of block 5, of the last block, of layer 5 or 11 of the
#: text encoder or outside the blocks, the picture changes by 7 to 107 % of the effect. In group txt it is only 3 % for
#: a matrix and 1 % for a bias of the last block; in last-txt it is 12 % or more. sd1-layers was not measured.
_STRENGTHS: Mapping[str, float] = {"norms": 30.0, "text-norms": 4.0, "last-txt": 3.0, "diff-b": 4.0}
_STRENGTH = 0.5
#: The base models of ``single_parts``, whose groups are fused layers, and the strength of their adapters.
_FUSED: Mapping[str, Base] = {base.architecture: base for base in (FLUX_ATTENTIVE,)}
_FUSED_STRENGTH = 3.0
#: The group of ``whole_differences``: its fused layers consist of three parts of one size.
_EQUAL_PARTS = "img"
#: The group of ``swapped_halves``, and its kinds with the scheme of each. PEFT has magnitudes for each output only.
_SWAPPED = "final-modulation"
_ON_SWAPPED = (("dora", "diffusers-flux"), ("dora-in", "lycoris"), ("loha", "lycoris"), ("diff", "lycoris"))


def every_layer(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield a case for each group of layers, kind and scheme, on the base model that has all layers."""
    base = BASES.get(fixture.base.architecture)
    if base is None:
        return
    for group in base.groups:
        for scheme in SCHEMES["text" if group.startswith("text") else fixture.base.architecture]:
            if mode == "at_runtime" or scheme in _IN_BOTH_MODES:
                for kind in _kinds(group):
                    if kind == "lora" or scheme in VECTOR_SCHEMES:
                        yield _case(replace(fixture, base=base), mode, group, kind, scheme)


def single_parts(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield a case for each part of Flux's fused layers, with an adapter that has no other part.

    The library has a name of its own for each part. Without this part alone, the picture of a file with all parts
    changes by less than the tolerance.
    """
    base = _FUSED.get(fixture.base.architecture)
    if base is None:
        return
    for group in base.groups:
        for part in FUSED_PARTS:
            for names in ("diffusers-flux", "lycoris"):
                scheme = f"{names}-{part}-alone"
                # The two streams of the double blocks have no MLP in their fused layers.
                named = next(target_parts(layered_adapter(base, group, "lora", scheme), base), None)
                if named and (mode == "at_runtime" or names in _IN_BOTH_MODES):
                    yield _case(replace(fixture, base=base), mode, group, "lora", scheme)


def whole_differences(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield the case of whole differences of layers that are fused from parts of one size, with LyCORIS' names.

    If the parts are joined along another axis, the result has as many elements as the layer.
    """
    base = BASES.get(fixture.base.architecture)
    if base and _EQUAL_PARTS in base.groups:
        adapter = Adapter(
            name=f"layers-{_EQUAL_PARTS}-differences-lycoris",
            base=base.name,
            kind="diff",
            scheme="lycoris",
            targets=(_EQUAL_PARTS,),
            strength=_STRENGTH,
        )
        yield _named_case(replace(fixture, base=base), mode, adapter)


def swapped_halves(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield cases of other kinds than LoRA for the layer whose halves diffusers has in the other order.

    The library exchanges the halves of a change, and of magnitudes for each output, but not of those for each input.
    """
    base = BASES.get(fixture.base.architecture)
    if base and _SWAPPED in base.groups:
        for kind, scheme in _ON_SWAPPED:
            lora = layered_adapter(base, _SWAPPED, "lora", scheme)
            adapter = replace(lora, name=f"layers-{_SWAPPED}-{kind}-{scheme}", kind=kind)
            yield _named_case(replace(fixture, base=base), mode, adapter)


def fused_text_encoder(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield cases of SDXL's second text encoder as published: one matrix has q, k and v, and adapters have three.

    They run beside those of SD 1. Each picture takes the time of many others, so that only the first case runs in both
    apply modes. The last one has the layers of all three models in one file, as sd-scripts writes it.
    """
    if fixture.base.architecture != "sd1":
        return
    fixture = replace(fixture, base=SDXL_FUSED)
    lora = Adapter(
        name="fused-text-kohya", base=SDXL_FUSED.name, targets=("text-2",), rank=4, alpha=2.0, strength=4.0
    )
    yield _named_case(fixture, mode, lora)
    if mode == "at_runtime":
        yield _named_case(fixture, mode, replace(lora, name="fused-text-peft", scheme="peft"))
        yield _named_case(fixture, mode, replace(lora, name="fused-text-biases-kohya", kind="diff-b"))
        every = ("linear", "text", "text-2")
        whole = replace(lora, name="fused-text-and-unet-kohya", targets=every, strength=_STRENGTH)
        yield _named_case(fixture, mode, whole)


def text_layers(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield the cases of ``every_layer`` for the text encoder and for flux's text stream, with kohya's names."""
    base = BASES.get(fixture.base.architecture)
    for group in ("txt", "text"):
        if base and group in base.groups:
            yield _case(replace(fixture, base=base), mode, group, "lora", "kohya")


def _kinds(group: str) -> tuple[str, ...]:
    """Return the kinds of adapters of a group: differences of norms, and LoRAs and biases of other layers."""
    if group.endswith("norms"):
        return ("diff",)
    # The input of txt_in is zero.
    return ("diff-b",) if group == "txt-in" else ("lora", "diff-b")


def _case(fixture: Fixture, mode: str, group: str, kind: str, scheme: str) -> Case:
    """Return the case of an adapter of a group of layers, named ``layers-GROUP-SCHEME-safetensors-F32``.

    That of biases is named ``layers-GROUP-biases-SCHEME-safetensors-F32``.
    """
    base = fixture.base
    adapter, same = (
        layered_adapter(base, group, kind, s) for s in (scheme, _SAME_VALUES.get(scheme, scheme))
    )
    return replace(_named_case(fixture, mode, adapter), wanted=_named_case(fixture, mode, same).wanted)


def _named_case(fixture: Fixture, mode: str, adapter: Adapter) -> Case:
    """Return the case of an adapter, named ``ADAPTER-safetensors-F32``."""
    case = single_file_case(fixture, mode, adapter, "safetensors", "F32")
    return replace(case, name=f"{adapter.name}-{case.name}")


def layered_adapter(base: Base, group: str, kind: str, scheme: str) -> Adapter:
    """Return the adapter of a kind for a group of layers in a scheme. That of norms has their biases, too."""
    vectors = "-biases" if kind == "diff-b" else ""
    adapter = Adapter(
        name=f"layers-{group}{vectors}-{scheme}",
        base=base.name,
        kind=kind,
        scheme=scheme,
        targets=(group,),
        rank=4,
        alpha=2.0,
        strength=_STRENGTHS.get(group, _STRENGTHS.get(kind, _STRENGTH)),
    )
    if base in _FUSED.values():
        return replace(adapter, strength=_FUSED_STRENGTH)
    if kind != "diff":
        return adapter
    return replace(adapter, also=(replace(adapter, name="biases", kind="diff-b", seed=8),))
