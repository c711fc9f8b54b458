"""The key schemes: how the tensors of an adapter are called in a file.

A scheme names each target by a *stem* and each factor (``harness.adapters.kinds``) by what follows it. Where a program
knows a fused matrix of the base model as several, a target has several parts, each with rows of its own. A new
scheme is an entry in ``SCHEMES``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.adapters.definitions import Shape
from harness.adapters.kinds import KINDS, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is to be named: a target of a base model, the group it is from, and the shape of its weight."""

    architecture: str
    group: str
    name: str
    shape: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Rows ``start`` to ``stop`` of a weight under a name of their own."""

    stem: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """A way of naming.

    ``parts`` returns the parts of a target, none if the scheme has no name for it. ``suffixes`` has the factors and
    scalars ("alpha", "scale") that it can name; ``own`` replaces them for a group. Factors in ``vectors`` lose their
    axes of length one.
    """

    name: str
    parts: Callable[[Target], tuple[Part, ...]]
    suffixes: Mapping[str, str]
    own: Mapping[str, Mapping[str, str]]
    vectors: frozenset[str] = frozenset()

    def key(self, part: Part, group: str, factor: str) -> str:
        """Return the name of a factor's tensor; KeyError if the scheme has none."""
        return part.stem + (self.own.get(group) or self.suffixes)[factor]

    def names(self, kind: Kind) -> bool:
        """Return whether the scheme can name all factors of a kind."""
        return set(kind.factors) <= set(self.suffixes)

    @property
    def has_alpha(self) -> bool:
        """Whether alpha can stand in a file; where it cannot, the scale is 1."""
        return "alpha" in self.suffixes


def _whole(target: Target, stem: str | None) -> tuple[Part, ...]:
    return () if stem is None else (Part(stem=stem, start=0, stop=target.shape[0]),)


def _kohya(target: Target) -> tuple[Part, ...]:
    # sd-scripts: networks/lora.py for SD1, networks/lora_flux.py, whose CLIP-L is the first of two encoders.
    text = "lora_te1_" if target.architecture == "flux" else "lora_te_"
    prefix = text if target.group == "text" else "lora_unet_"
    return _whole(target, prefix + target.name.replace(".", "_"))


def _dotted(target: Target) -> tuple[Part, ...]:
    # diffusers: loaders/lora_base.py; the flux names of the original authors, as ComfyUI has them, comfy/lora.py.
    model = "diffusion_model." if target.architecture == "flux" else "unet."
    return _whole(target, ("text_encoder." if target.group == "text" else model) + target.name)


def _processor(target: Target) -> tuple[Part, ...]:
    # diffusers 0.11 to 0.17 (loaders.py, models/attention_processor.py): only the attention has adapters.
    place, _, layer = target.name.removesuffix(".0").rpartition(".")
    if target.architecture == "flux" or (".attn" not in place and ".self_attn" not in place):
        return ()
    if target.group == "text":
        return _whole(target, f"text_encoder.{place}.to_{layer.removesuffix('_proj')}_lora")
    return _whole(target, f"unet.{place}.processor.{layer}_lora")


def _layer(target: Target) -> tuple[Part, ...]:
    # diffusers 0.18 to 0.21 (loaders.py); flux came later.
    return () if target.architecture == "flux" else _dotted(target)


#: What diffusers (models/transformers/transformer_flux.py) calls the matrices of the original flux
#: (src/flux/model.py), those that it splits by their parts in the order of the rows.
_FLUX = {
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "img_attn.proj": ("attn.to_out.0",),
    "img_mlp.0": ("ff.net.0.proj",),
    "img_mlp.2": ("ff.net.2",),
    "linear1": ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"),
    "linear2": ("proj_out",),
}


def _split(target: Target, prefix: str, without: tuple[str, ...] = ()) -> tuple[Part, ...]:
    if target.architecture != "flux" or target.group != "linear":
        return ()
    blocks, number, layer = target.name.split(".", 2)
    stem = (
        prefix + {"double_blocks": "transformer_blocks", "single_blocks": "single_transformer_blocks"}[blocks]
    )
    names, (out, hidden) = _FLUX[layer], target.shape[:2]
    starts = [i * hidden for i in range(len(names))]
    stops = [*starts[1:], out]
    return tuple(
        Part(stem=f"{stem}.{number}.{name}", start=start, stop=stop)
        for name, start, stop in zip(names, starts, stops, strict=True)
        if name not in without
    )


def _diffusers(target: Target) -> tuple[Part, ...]:
    return _split(target, "transformer.")


def _diffusers_qv(target: Target) -> tuple[Part, ...]:
    # The choice of the LoRA paper (section 5.1) and of PEFT's defaults: queries and values only.
    return _split(target, "transformer.", without=("attn.to_k",))


def _diffusers_q(target: Target) -> tuple[Part, ...]:
    # The first part of each fused matrix alone, as where a training script is given one module.
    return _split(target, "transformer.", without=("attn.to_k", "attn.to_v", "proj_mlp"))


def _lycoris(target: Target) -> tuple[Part, ...]:
    # LyCORIS: wrapper.py, LORA_PREFIX: the names of the module that was wrapped, which for flux is that of diffusers.
    parts = _split(target, "") if target.architecture == "flux" else _whole(target, target.name)
    return (
        ()
        if target.group == "text"
        else tuple(
            Part(stem="lycoris_" + part.stem.replace(".", "_"), start=part.start, stop=part.stop)
            for part in parts
        )
    )


#: sd-scripts and LyCORIS: every factor by its own name. ``.scale`` is read by the Automatic1111 web UI
#: (extensions-builtin/Lora/network.py), where it stands for alpha / rank.
_KOHYA = {
    **{factor: f".{factor}" for kind in KINDS.values() for factor in kind.factors},
    **{factor: f".lora_{factor}.weight" for factor in ("down", "mid", "up")},
    "alpha": ".alpha",
    "scale": ".scale",
}


def _pair(down: str, up: str) -> dict[str, str]:
    return {"down": f"{down}.weight", "up": f"{up}.weight"}


#: PEFT: tuners/lora/layer.py, utils/save_and_load.py. DoRA's magnitude is [out]. PEFT keeps alpha beside the file;
#: in it alpha is as diffusers reads it (``network_alphas`` of loaders/lora_pipeline.py).
_PEFT = {**_pair(".lora_A", ".lora_B"), "dora_scale": ".lora_magnitude_vector", "alpha": ".alpha"}
_VECTORS = frozenset({"dora_scale"})

SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme(name="kohya", parts=_kohya, suffixes=_KOHYA, own={}),
        Scheme(name="peft", parts=_dotted, suffixes=_PEFT, own={}, vectors=_VECTORS),
        # As PEFT calls them in a model, and some programs in files: with the name of the adapter, without alpha.
        Scheme(
            name="peft-default", parts=_dotted, suffixes=_pair(".lora_A.default", ".lora_B.default"), own={}
        ),
        Scheme(name="processor", parts=_processor, suffixes=_pair(".down", ".up"), own={}),
        Scheme(
            name="layer",
            parts=_layer,
            suffixes=_pair(".lora.down", ".lora.up"),
            own={"text": _pair(".lora_linear_layer.down", ".lora_linear_layer.up")},
        ),
        Scheme(name="diffusers-flux", parts=_diffusers, suffixes=_PEFT, own={}, vectors=_VECTORS),
        Scheme(name="diffusers-flux-qv", parts=_diffusers_qv, suffixes=_PEFT, own={}, vectors=_VECTORS),
        Scheme(name="diffusers-flux-q", parts=_diffusers_q, suffixes=_PEFT, own={}, vectors=_VECTORS),
        Scheme(name="lycoris", parts=_lycoris, suffixes=_KOHYA, own={}),
    )
}
