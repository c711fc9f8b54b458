"""The key schemes: the naming conventions for the tensors of an adapter file.

The name of a tensor consists of a *stem* for the target and a suffix for the factor (``harness.adapters.kinds``). The
base model may have one fused matrix where a program has several matrices. A target then has several parts, and each
part names some of the rows. To add a scheme, add an entry to ``SCHEMES``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harness.adapters.definitions import Shape
from harness.adapters.kinds import KINDS, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A target of a base model: the model's architecture, the target's group and name, and its weight's shape."""

    architecture: str
    group: str
    name: str
    shape: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRows:
    """The rows ``start`` to ``stop`` (exclusive) of a weight, and the stem of their tensors' names."""

    stem: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """A naming convention.

    - ``parts`` returns the parts of a target. It returns none if the scheme has no name for the target.
    - ``suffixes`` maps factors and scalars ("alpha", "scale") to suffixes. The scheme cannot name other factors.
    - ``group_suffixes`` has the suffixes for the groups whose suffixes differ from ``suffixes``.
    - ``vectors`` are the factors that are stored without their axes of length 1.
    """

    name: str
    parts: Callable[[Target], tuple[NamedRows, ...]]
    suffixes: Mapping[str, str]
    group_suffixes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    vectors: frozenset[str] = frozenset()

    def key(self, rows: NamedRows, group: str, factor: str) -> str:
        """Return the name of the tensor of a factor or scalar; raises KeyError if the scheme has no name for it."""
        return rows.stem + (self.group_suffixes.get(group) or self.suffixes)[factor]

    def can_name(self, kind: Kind) -> bool:
        """Return whether the scheme can name all factors of a kind."""
        return set(kind.factors) <= set(self.suffixes)

    @property
    def has_alpha(self) -> bool:
        """Whether the scheme can name alpha. Without a name for it the scale is 1."""
        return "alpha" in self.suffixes


def _single_part(target: Target, stem: str) -> tuple[NamedRows, ...]:
    """Return one part with all rows of a target."""
    return (NamedRows(stem=stem, start=0, stop=target.shape[0]),)


def _kohya(target: Target) -> tuple[NamedRows, ...]:
    """Return the part of a target in sd-scripts: networks/lora.py for SD1, networks/lora_flux.py for flux."""
    # CLIP-L is the first of flux's two text encoders.
    text = "lora_te1_" if target.architecture == "flux" else "lora_te_"
    prefix = text if target.group == "text" else "lora_unet_"
    return _single_part(target, prefix + target.name.replace(".", "_"))


def _dotted(target: Target) -> tuple[NamedRows, ...]:
    """Return the part of a target in diffusers (loaders/lora_base.py), or for flux in ComfyUI (comfy/lora.py).

    ComfyUI uses the names of flux's original authors.
    """
    model = "diffusion_model." if target.architecture == "flux" else "unet."
    return _single_part(target, ("text_encoder." if target.group == "text" else model) + target.name)


def _processor(target: Target) -> tuple[NamedRows, ...]:
    """Return the part of a target in diffusers 0.11 to 0.17 (loaders.py, models/attention_processor.py).

    These versions support adapters of the attention only.
    """
    module, _, layer = target.name.removesuffix(".0").rpartition(".")
    if target.architecture == "flux" or (".attn" not in module and ".self_attn" not in module):
        return ()
    if target.group == "text":
        return _single_part(target, f"text_encoder.{module}.to_{layer.removesuffix('_proj')}_lora")
    return _single_part(target, f"unet.{module}.processor.{layer}_lora")


def _layer(target: Target) -> tuple[NamedRows, ...]:
    """Return the part of a target in diffusers 0.18 to 0.21 (loaders.py), which do not support flux."""
    return () if target.architecture == "flux" else _dotted(target)


#: From the names of matrices in the original flux (src/flux/model.py) to their names in diffusers
#: (models/transformers/transformer_flux.py). A fused matrix has several names, in the order of its rows.
_FLUX = {
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "img_attn.proj": ("attn.to_out.0",),
    "img_mlp.0": ("ff.net.0.proj",),
    "img_mlp.2": ("ff.net.2",),
    "linear1": ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"),
    "linear2": ("proj_out",),
}


def _flux_parts(target: Target, prefix: str, excluded: tuple[str, ...] = ()) -> tuple[NamedRows, ...]:
    """Return the parts of a flux target in diffusers, without those whose names are in ``excluded``."""
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
        NamedRows(stem=f"{stem}.{number}.{name}", start=start, stop=stop)
        for name, start, stop in zip(names, starts, stops, strict=True)
        if name not in excluded
    )


def _diffusers(target: Target) -> tuple[NamedRows, ...]:
    """Return all parts of a flux target in diffusers."""
    return _flux_parts(target, "transformer.")


def _diffusers_qv(target: Target) -> tuple[NamedRows, ...]:
    """Return the parts without the keys, as in the LoRA paper (section 5.1) and in PEFT's defaults."""
    return _flux_parts(target, "transformer.", excluded=("attn.to_k",))


def _diffusers_q(target: Target) -> tuple[NamedRows, ...]:
    """Return the first part of a target only, as when a training script trains one module."""
    return _flux_parts(target, "transformer.", excluded=("attn.to_k", "attn.to_v", "proj_mlp"))


def _lycoris(target: Target) -> tuple[NamedRows, ...]:
    """Return the parts of a target in LyCORIS (wrapper.py, LORA_PREFIX).

    LyCORIS uses the names of the wrapped module. For flux these are the names of diffusers.
    """
    if target.group == "text":
        return ()
    parts = _flux_parts(target, "") if target.architecture == "flux" else _single_part(target, target.name)
    return tuple(
        NamedRows(stem="lycoris_" + part.stem.replace(".", "_"), start=part.start, stop=part.stop)
        for part in parts
    )


#: The suffixes of sd-scripts and LyCORIS, which are the names of the factors. The Automatic1111 web UI reads ``.scale``
#: as alpha / rank (extensions-builtin/Lora/network.py).
_KOHYA = {
    **{factor: f".{factor}" for kind in KINDS.values() for factor in kind.factors},
    **{factor: f".lora_{factor}.weight" for factor in ("down", "mid", "up")},
    "alpha": ".alpha",
    "scale": ".scale",
}


def _pair(down: str, up: str) -> dict[str, str]:
    return {"down": f"{down}.weight", "up": f"{up}.weight"}


#: The suffixes of PEFT (tuners/lora/layer.py, utils/save_and_load.py). DoRA's magnitude is [out]. PEFT stores alpha in
#: a second file; diffusers reads it from this name (``network_alphas`` in loaders/lora_pipeline.py).
_PEFT = {**_pair(".lora_A", ".lora_B"), "dora_scale": ".lora_magnitude_vector", "alpha": ".alpha"}
_VECTORS = frozenset({"dora_scale"})

SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme(name="kohya", parts=_kohya, suffixes=_KOHYA),
        Scheme(name="peft", parts=_dotted, suffixes=_PEFT, vectors=_VECTORS),
        # PEFT's names in a model, which have the name of the adapter. Some programs write them to files, without alpha.
        Scheme(name="peft-default", parts=_dotted, suffixes=_pair(".lora_A.default", ".lora_B.default")),
        Scheme(name="processor", parts=_processor, suffixes=_pair(".down", ".up")),
        Scheme(
            name="layer",
            parts=_layer,
            suffixes=_pair(".lora.down", ".lora.up"),
            group_suffixes={"text": _pair(".lora_linear_layer.down", ".lora_linear_layer.up")},
        ),
        Scheme(name="diffusers-flux", parts=_diffusers, suffixes=_PEFT, vectors=_VECTORS),
        Scheme(name="diffusers-flux-qv", parts=_diffusers_qv, suffixes=_PEFT, vectors=_VECTORS),
        Scheme(name="diffusers-flux-q", parts=_diffusers_q, suffixes=_PEFT, vectors=_VECTORS),
        Scheme(name="lycoris", parts=_lycoris, suffixes=_KOHYA),
    )
}
