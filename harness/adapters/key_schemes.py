"""The key schemes: the naming conventions for the tensors of an adapter file.

The name of a tensor consists of a *stem* for the target and a suffix for the factor (``harness.adapters.kinds``). The
base model may have one fused matrix where a program has several matrices. A target then has several parts, and each
part names some of the rows. To add a scheme, add an entry to
``SCHEMES``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from harness.adapters import diffusers_names
from harness.adapters.definitions import Shape
from harness.adapters.diffusers_names import NamedRows
from harness.adapters.kinds import KINDS, Kind
from harness.layers.components import CLIP_1, CLIP_2, T5
from harness.layers.trainers import BY_NAME, SDXL
from harness.layers.unet import UNET

#: The text encoder of a group of targets; that of every other group is the first CLIP.
_ENCODERS = {"text-2": CLIP_2, "text-t5": T5}
#: The end of the name of a text encoder's matrix that has those of q, k and v, one below the other.
_FUSED = "in_proj"
#: The keys of ``Trainer.texts`` by architecture. Those of all other architectures are under "".
_TEXT_KEYS = {"flux": "Flux.1", "sd1": UNET.name, "sdxl": SDXL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A target of a base model: the model's architecture, the target's group and name, and its weight's shape.

    ``tensor`` is the name of the weight in the file of the base model. The target is a layer of the text encoder if the
    name of its group starts with "text".
    """

    architecture: str
    group: str
    name: str
    shape: Shape
    tensor: str = ""

    @property
    def in_text_encoder(self) -> bool:
        """Whether the target is a layer of the text encoder."""
        return self.group.startswith("text")


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


def _text_part(target: Target, trainer: str) -> tuple[NamedRows, ...]:
    """Return the parts of a text encoder's target in the names of a trainer; none if it has none for the encoder.

    Trainers read open_clip's weights with transformers, which splits the fused matrix of the attention.
    """
    names = BY_NAME[trainer]
    prefixes = names.text_prefixes(_TEXT_KEYS.get(target.architecture, ""))
    prefix = prefixes.get(_ENCODERS.get(target.group, CLIP_1))
    if not prefix:
        return ()
    stem = prefix + target.name.replace(".", names.separator)
    if not stem.endswith(_FUSED):
        return _single_part(target, stem)
    height = target.shape[0] // 3
    return tuple(
        NamedRows(
            stem=f"{stem.removesuffix(_FUSED)}{part}_proj", start=number * height, stop=(number + 1) * height
        )
        for number, part in enumerate("qkv")
    )


def _kohya(target: Target) -> tuple[NamedRows, ...]:
    """Return the part of a target in sd-scripts: networks/lora.py for SD1 and SDXL, networks/lora_flux.py for flux."""
    if target.in_text_encoder:
        return _text_part(target, "kohya")
    if target.architecture == "sdxl":
        return _ldm(target)
    return _single_part(target, "lora_unet_" + target.name.replace(".", "_"))


def _dotted(target: Target) -> tuple[NamedRows, ...]:
    """Return the part of a UNet's target in diffusers (loaders/lora_base.py), or of another in ComfyUI (comfy/lora.py).

    ComfyUI uses the names of a model's original authors.
    """
    if target.in_text_encoder:
        return _text_part(target, "diffusers")
    model = "unet." if target.architecture in ("sd1", "sdxl") else "diffusion_model."
    return _single_part(target, model + target.name)


def _processor(target: Target) -> tuple[NamedRows, ...]:
    """Return the part of a target in diffusers 0.11 to 0.17 (loaders.py, models/attention_processor.py).

    These versions support adapters of the attention only.
    """
    module, _, layer = target.name.removesuffix(".0").rpartition(".")
    if target.architecture == "flux" or (".attn" not in module and ".self_attn" not in module):
        return ()
    if target.in_text_encoder:
        return _single_part(target, f"text_encoder.{module}.to_{layer.removesuffix('_proj')}_lora")
    return _single_part(target, f"unet.{module}.processor.{layer}_lora")


def _layer(target: Target) -> tuple[NamedRows, ...]:
    """Return the part of a target in diffusers 0.18 to 0.21 (loaders.py), which do not support flux."""
    return () if target.architecture == "flux" else _dotted(target)


def _named_parts(
    target: Target, prefix: str, architectures: Collection[str], excluded: tuple[str, ...] = ()
) -> tuple[NamedRows, ...]:
    """Return the parts of a target in diffusers, without those whose names end in one of ``excluded``.

    There are none for a text encoder, for another architecture than those of ``architectures``, and for a layer that
    only a relative has, such as Chroma's guidance layer.
    """
    if target.architecture not in architectures or target.in_text_encoder:
        return ()
    if not diffusers_names.knows(target.architecture, target.name):
        return ()
    ends = tuple(f".{name}" for name in excluded)
    parts = diffusers_names.parts(target.architecture, target.name, target.shape[0])
    return tuple(
        replace(part, stem=prefix + part.stem) for part in parts if not f".{part.stem}".endswith(ends)
    )


def _diffusers(target: Target) -> tuple[NamedRows, ...]:
    """Return all parts of a flux target in diffusers."""
    return _named_parts(target, "transformer.", ("flux",))


def _diffusers_qv(target: Target) -> tuple[NamedRows, ...]:
    """Return the parts without the keys, as in the LoRA paper (section 5.1) and in PEFT's defaults."""
    return _named_parts(target, "transformer.", ("flux",), excluded=("attn.to_k",))


def _diffusers_q(target: Target) -> tuple[NamedRows, ...]:
    """Return the first part of a target only, as when a training script trains one module."""
    return _named_parts(target, "transformer.", ("flux",), excluded=("attn.to_k", "attn.to_v", "proj_mlp"))


def _diffusers_attention(target: Target) -> tuple[NamedRows, ...]:
    """Return the default targets of diffusers' training script for flux: to_q, to_k, to_v and to_out.0."""
    rest = ("proj_mlp", "proj_out", "ff.net.0.proj", "ff.net.2")
    return _named_parts(target, "transformer.", ("flux",), excluded=rest)


def _diffusers_q_mlp(target: Target) -> tuple[NamedRows, ...]:
    """Return the first and the last part of linear1, and the first of other fused layers: a gap of two parts."""
    return _named_parts(
        target, "transformer.", ("flux",), excluded=("attn.to_k", "attn.to_v", "add_k_proj", "add_v_proj")
    )


#: The parts of flux's fused layers, by a word for each: the ends of their names in diffusers.
FUSED_PARTS = {
    **{part: (f"attn.to_{part}", f"attn.add_{part}_proj") for part in "qkv"},
    "mlp": ("proj_mlp",),
}


def _one_part(part: str, prefix: str, separator: str = ".") -> Callable[[Target], tuple[NamedRows, ...]]:
    """Return a function that returns one part of a fused layer of flux, and nothing of any other layer.

    An adapter of nothing else has no effect if the library loses this part's name.
    """

    def one_part(target: Target) -> tuple[NamedRows, ...]:
        found = _named_parts(target, "", ("flux",))
        return tuple(
            replace(rows, stem=prefix + rows.stem.replace(".", separator))
            for rows in found
            if rows.stem.endswith(FUSED_PARTS[part])
        )

    return one_part


def _onetrainer(target: Target) -> tuple[NamedRows, ...]:
    """Return the parts of a target of flux or SD3 in OneTrainer's LEGACY format (util/enum/ModelFormat.py)."""
    if target.architecture not in ("flux", "sd3"):
        return ()
    if target.in_text_encoder:
        return _text_part(target, "onetrainer")
    parts = _module_parts(target)
    return tuple(replace(part, stem="lora_transformer_" + part.stem.replace(".", "_")) for part in parts)


def _original(target: Target) -> str:
    """Return the name of a target's weight in the original checkpoint, without the prefix of the model."""
    return target.tensor.removeprefix("model.diffusion_model.").rpartition(".")[0]


def _module_parts(target: Target) -> tuple[NamedRows, ...]:
    """Return the parts of a target whose stems are the names of diffusers' modules, without a prefix."""
    if target.architecture in diffusers_names.FAMILIES:
        return _named_parts(target, "", diffusers_names.FAMILIES)
    return _single_part(target, target.name)


def _family(target: Target) -> tuple[NamedRows, ...]:
    """Return the parts of a target in diffusers, of all families but flux. A fused matrix has several parts."""
    return _named_parts(target, "transformer.", diffusers_names.FAMILIES.keys() - {"flux"})


def _bare(target: Target) -> tuple[NamedRows, ...]:
    """Return the part of a target in OneTrainer's ORIGINAL format and in the control LoRAs of flux's authors.

    The names are those of the original checkpoint, without a prefix. There are none for the text encoder.
    """
    return () if target.in_text_encoder else _single_part(target, _original(target))


def _videox_fun(target: Target) -> tuple[NamedRows, ...]:
    """Return the part of a target of Qwen-Image or Wan in VideoX-Fun (videox_fun/utils/lora_utils.py).

    It puts an empty name between the prefix and the name of the layer.
    """
    if target.architecture not in ("qwen-image", "wan") or target.in_text_encoder:
        return ()
    return _single_part(target, "lora_unet__" + _original(target).replace(".", "_"))


def _comfy(target: Target) -> tuple[NamedRows, ...]:
    """Return the part of a target in files that ComfyUI extracts (comfy_extras/nodes_lora_extract.py)."""
    if target.in_text_encoder:
        return _text_part(target, "comfy")
    return _single_part(target, f"diffusion_model.{_original(target)}")


def _ldm(target: Target) -> tuple[NamedRows, ...]:
    """Return the part of a UNet's target in sd-scripts for SDXL (networks/lora.py), which uses the original names."""
    if target.architecture == "flux" or target.in_text_encoder:
        return ()
    return _single_part(target, "lora_unet_" + _original(target).replace(".", "_"))


def _kohya_diffusers(target: Target) -> tuple[NamedRows, ...]:
    """Return the part of an SDXL target in OneTrainer's LEGACY format, ai-toolkit and SimpleTuner.

    The prefix is that of sd-scripts, and the names are those of diffusers.
    """
    if target.architecture != "sdxl" or target.in_text_encoder:
        return ()
    return _single_part(target, "lora_unet_" + target.name.replace(".", "_"))


def _peft_model(target: Target) -> tuple[NamedRows, ...]:
    """Return the parts of a target in files that PEFT saves itself (utils/save_and_load.py)."""
    if target.in_text_encoder:
        return ()
    return tuple(replace(part, stem=f"base_model.model.{part.stem}") for part in _module_parts(target))


def _lycoris(target: Target) -> tuple[NamedRows, ...]:
    """Return the parts of a target in LyCORIS (wrapper.py, LORA_PREFIX).

    LyCORIS uses the names of the wrapped module, which are those of diffusers.
    """
    if target.in_text_encoder:
        return ()
    return _with_lycoris_stems(_module_parts(target))


def _lycoris_qv(target: Target) -> tuple[NamedRows, ...]:
    """Return the parts of a flux target in LyCORIS without the keys. Its suffixes can name every kind."""
    return _with_lycoris_stems(_named_parts(target, "", ("flux",), excluded=("attn.to_k", "attn.add_k_proj")))


def _with_lycoris_stems(parts: tuple[NamedRows, ...]) -> tuple[NamedRows, ...]:
    """Return parts with LyCORIS' stems in place of the names of modules."""
    return tuple(replace(part, stem="lycoris_" + part.stem.replace(".", "_")) for part in parts)


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
#: a second file; diffusers reads it from this name (``network_alphas`` in loaders/lora_pipeline.py). With ``lora_bias``
#: the second factor has a bias, which is scaled like the factors; without an alpha it is a change of the layer's bias.
_PEFT = {
    **_pair(".lora_A", ".lora_B"),
    "diff_b": ".lora_B.bias",
    "dora_scale": ".lora_magnitude_vector",
    "alpha": ".alpha",
}
_VECTORS = frozenset({"dora_scale"})
#: LyCORIS has other names for the differences of norms (``train_norm``).
_NORMS = {"diff": ".w_norm", "diff_b": ".b_norm"}
_NORM_GROUPS = dict.fromkeys(("norms", "text-norms"), _NORMS)

SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme(name="kohya", parts=_kohya, suffixes=_KOHYA, group_suffixes=_NORM_GROUPS),
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
        Scheme(name="diffusers-flux-attention", parts=_diffusers_attention, suffixes=_PEFT, vectors=_VECTORS),
        Scheme(name="diffusers-flux-q-mlp", parts=_diffusers_q_mlp, suffixes=_PEFT, vectors=_VECTORS),
        *(
            Scheme(
                name=f"diffusers-flux-{part}-alone",
                parts=_one_part(part, "transformer."),
                suffixes=_PEFT,
                vectors=_VECTORS,
            )
            for part in FUSED_PARTS
        ),
        *(
            Scheme(name=f"lycoris-{part}-alone", parts=_one_part(part, "lycoris_", "_"), suffixes=_KOHYA)
            for part in FUSED_PARTS
        ),
        Scheme(name="lycoris-qv", parts=_lycoris_qv, suffixes=_KOHYA),
        Scheme(name="lycoris", parts=_lycoris, suffixes=_KOHYA, group_suffixes=_NORM_GROUPS),
        Scheme(name="onetrainer", parts=_onetrainer, suffixes=_KOHYA),
        Scheme(name="diffusers", parts=_family, suffixes=_PEFT, vectors=_VECTORS),
        Scheme(name="bare", parts=_bare, suffixes=_PEFT, vectors=_VECTORS),
        Scheme(name="videox-fun", parts=_videox_fun, suffixes=_KOHYA),
        Scheme(name="comfy", parts=_comfy, suffixes=_KOHYA),
        Scheme(name="ldm", parts=_ldm, suffixes=_KOHYA, group_suffixes=_NORM_GROUPS),
        Scheme(name="kohya-diffusers", parts=_kohya_diffusers, suffixes=_KOHYA, group_suffixes=_NORM_GROUPS),
        Scheme(name="peft-model", parts=_peft_model, suffixes=_PEFT, vectors=_VECTORS),
    )
}
