"""Find the weight of a base model that a module of an adapter changes, for all naming conventions.

Base models use the tensor names of the published checkpoints (LDM, Flux). Adapters use these names or the names of
diffusers, with dots or with underscores. Names are compared with underscores in place of dots. The tables follow
diffusers' conversion scripts (scripts/convert_diffusers_to_original_stable_diffusion.py and
loaders/lora_conversion_utils.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

#: The prefixes of tensor names in base models. The first prefix that matches is removed.
BASE_PREFIXES = (
    "model.diffusion_model.",
    "cond_stage_model.transformer.",
    "conditioner.embedders.0.transformer.",
    "text_encoders.clip_l.transformer.",
    "text_encoders.t5xxl.transformer.",
    "diffusion_model.",
)
#: The prefixes of module names in adapters. The first prefix that matches is removed.
ADAPTER_PREFIXES = (
    "base_model.model.",
    "lora_unet_",
    "lora_transformer_",
    "lora_te1_",
    "lora_te2_",
    "lora_te3_",
    "lora_te_",
    "lycoris_",
    "model.diffusion_model.",
    "diffusion_model.",
    "transformer.",
    "text_encoder_2.",
    "text_encoder.",
    "unet.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseWeight:
    """A weight of the base model, and the rows that a module changes: all rows, or one piece of a fused matrix.

    ``pieces`` has the relative heights of the pieces, from top to bottom. ``piece`` is the index of the changed piece;
    None means that all rows are changed.
    """

    name: str
    piece: int | None = None
    pieces: tuple[int, ...] = ()

    def rows(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return the first changed row and the end (exclusive) for a weight of this shape."""
        if self.piece is None:
            return 0, shape[0]
        unit = shape[0] // sum(self.pieces)
        start = sum(self.pieces[: self.piece]) * unit
        return start, start + self.pieces[self.piece] * unit


class BaseWeights:
    """The weights of a base model, which can be found by the keys of an adapter's modules.

    ``names`` are the tensor names of the base model. ``aliases`` maps further names to tensor names.
    """

    def __init__(self, names: Iterable[str], aliases: Mapping[str, str] | None = None) -> None:
        self._by_name: dict[str, str] = {}
        for name in names:
            if name.endswith(".weight"):
                bare = _without_prefix(name, BASE_PREFIXES).removesuffix(".weight")
                self._by_name.setdefault(_without_dots(bare), name)
        for alias, name in (aliases or {}).items():
            self._by_name.setdefault(_without_dots(alias), name)

    def find(self, key: str) -> BaseWeight | None:
        """Return the weight that the module ``key`` changes, or None if the base model has no such weight."""
        inner = _without_dots(_without_prefix(key, ADAPTER_PREFIXES))
        for candidate in (inner, _ldm_name(inner)):
            if candidate in self._by_name:
                return BaseWeight(name=self._by_name[candidate])
        for pattern, target, piece, pieces in _FLUX:
            match = pattern.fullmatch(inner)
            if match and (name := self._by_name.get(match.expand(target))):
                return BaseWeight(name=name, piece=piece, pieces=pieces)
        return None


def _without_prefix(name: str, prefixes: tuple[str, ...]) -> str:
    """Return ``name`` without the first of ``prefixes`` that it begins with."""
    return next((name[len(p) :] for p in prefixes if name.startswith(p)), name)


def _without_dots(name: str) -> str:
    return name.replace(".", "_")


def _ldm_name(name: str) -> str:
    """Return the name in LDM of a layer of diffusers, or ``name`` itself. SD 1, 2 and SDXL number blocks alike."""
    # In diffusers 0.11 to 0.17 the adapters belong to the attention processors.
    name = re.sub(r"_processor_to_([qkv])$", r"_to_\1", name)
    name = re.sub(r"_processor_to_out$", "_to_out_0", name)
    match = re.fullmatch(
        r"(down|up)_blocks_(\d+)_(attentions|resnets|downsamplers|upsamplers)_(\d+)_(.+)", name
    )
    if match:
        side, block, kind, index, rest = match.group(1, 2, 3, 4, 5)
        number = 3 * int(block) + int(index)
        if kind == "downsamplers":
            return f"input_blocks_{3 * int(block) + 3}_0_op"
        if kind == "upsamplers":
            return f"output_blocks_{3 * int(block) + 2}_1_{rest}"
        part = f"{int(kind == 'attentions')}_{_resnet(rest) if kind == 'resnets' else rest}"
        return f"input_blocks_{number + 1}_{part}" if side == "down" else f"output_blocks_{number}_{part}"
    match = re.fullmatch(r"mid_block_(attentions|resnets)_(\d+)_(.+)", name)
    if match:
        kind, index, rest = match.group(1, 2, 3)
        return (
            f"middle_block_1_{rest}"
            if kind == "attentions"
            else f"middle_block_{2 * int(index)}_{_resnet(rest)}"
        )
    # The names that diffusers 0.11 to 0.17 used for adapters of text encoders.
    name = re.sub(r"_self_attn_to_([qkv])$", r"_self_attn_\1_proj", name)
    name = re.sub(r"_self_attn_to_out$", "_self_attn_out_proj", name)
    return _TIME.get(name, name)


_TIME = {"time_embedding_linear_1": "time_embed_0", "time_embedding_linear_2": "time_embed_2"}


def _resnet(name: str) -> str:
    """Return the name in LDM of a layer of a residual block, or ``name`` itself."""
    return {
        "conv1": "in_layers_2",
        "conv2": "out_layers_3",
        "time_emb_proj": "emb_layers_1",
        "conv_shortcut": "skip_connection",
    }.get(name, name)


def _flux() -> list[tuple[re.Pattern[str], str, int | None, tuple[int, ...]]]:
    """Return the layers of Flux: pattern of the name in diffusers, name in the checkpoint, ``piece`` and ``pieces``.

    A fused matrix of the checkpoint has several names in diffusers.
    """
    double, single = r"transformer_blocks_(\d+)_", r"single_transformer_blocks_(\d+)_"
    layers: list[tuple[str, str, int | None, tuple[int, ...]]] = []
    for i, part in enumerate("qkv"):
        layers.append((f"{double}attn_to_{part}", r"double_blocks_\1_img_attn_qkv", i, (1, 1, 1)))
        layers.append((f"{double}attn_add_{part}_proj", r"double_blocks_\1_txt_attn_qkv", i, (1, 1, 1)))
        layers.append((f"{single}attn_to_{part}", r"single_blocks_\1_linear1", i, (1, 1, 1, 4)))
    # Text encoders need no entries: their checkpoints have separate matrices for q, k and v.
    layers.append((f"{single}proj_mlp", r"single_blocks_\1_linear1", 3, (1, 1, 1, 4)))
    for diffusers_name, name in (
        ("attn_to_out_0", "img_attn_proj"),
        ("attn_to_add_out", "txt_attn_proj"),
        ("ff_net_0_proj", "img_mlp_0"),
        ("ff_net_2", "img_mlp_2"),
        ("ff_context_net_0_proj", "txt_mlp_0"),
        ("ff_context_net_2", "txt_mlp_2"),
        ("norm1_linear", "img_mod_lin"),
        ("norm1_context_linear", "txt_mod_lin"),
    ):
        layers.append((double + diffusers_name, rf"double_blocks_\1_{name}", None, ()))
    layers.append((f"{single}proj_out", r"single_blocks_\1_linear2", None, ()))
    layers.append((f"{single}norm_linear", r"single_blocks_\1_modulation_lin", None, ()))
    layers.append(("x_embedder", "img_in", None, ()))
    layers.append(("context_embedder", "txt_in", None, ()))
    layers.append(("proj_out", "final_layer_linear", None, ()))
    return [(re.compile(pattern), target, piece, pieces) for pattern, target, piece, pieces in layers]


_FLUX = _flux()
