"""Which weight of a base model an adapter's module changes, whatever naming scheme either has.

Base models name their tensors as the published checkpoints do (LDM, Flux); adapters use those names or those of
diffusers, with dots or with underscores. Names are compared without separators. The tables are those of
diffusers' conversion scripts (scripts/convert_diffusers_to_original_stable_diffusion.py and
loaders/lora_conversion_utils.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

#: What base models put in front of their tensors, longest first.
BASE_PREFIXES = (
    "model.diffusion_model.",
    "cond_stage_model.transformer.",
    "conditioner.embedders.0.transformer.",
    "text_encoders.clip_l.transformer.",
    "text_encoders.t5xxl.transformer.",
    "diffusion_model.",
)
#: What adapters put in front of their modules.
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
    """A weight of the base and the rows of it that are changed: all, or one of the pieces of a fused matrix.

    ``pieces`` are the relative heights of the pieces, from top to bottom. ``piece`` is the number of one of them; None
    means the whole weight.
    """

    name: str
    piece: int | None = None
    pieces: tuple[int, ...] = ()

    def rows(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return the first row and the one behind the last, in a weight of this shape."""
        if self.piece is None:
            return 0, shape[0]
        unit = shape[0] // sum(self.pieces)
        start = sum(self.pieces[: self.piece]) * unit
        return start, start + self.pieces[self.piece] * unit


class BaseWeights:
    """The weights of one base model, found by an adapter's keys."""

    def __init__(self, names: Iterable[str], aliases: Mapping[str, str] | None = None) -> None:
        self._by_name: dict[str, str] = {}
        for name in names:
            if name.endswith(".weight"):
                self._by_name.setdefault(_bare(_cut(name, BASE_PREFIXES).removesuffix(".weight")), name)
        for alias, name in (aliases or {}).items():
            self._by_name.setdefault(_bare(alias), name)

    def find(self, key: str) -> BaseWeight | None:
        """Return the weight that a module changes, or None if the base has none for it."""
        inner = _bare(_cut(key, ADAPTER_PREFIXES))
        for candidate in (inner, _unet(inner)):
            if candidate in self._by_name:
                return BaseWeight(name=self._by_name[candidate])
        for pattern, target, piece, pieces in _FUSED:
            found = pattern.fullmatch(inner)
            if found and (name := self._by_name.get(found.expand(target))):
                return BaseWeight(name=name, piece=piece, pieces=pieces)
        return None


def _cut(name: str, prefixes: tuple[str, ...]) -> str:
    return next((name[len(p) :] for p in prefixes if name.startswith(p)), name)


def _bare(name: str) -> str:
    return name.replace(".", "_")


def _unet(name: str) -> str:
    """Return LDM's name of a layer of diffusers' UNet: SD 1, 2 and SDXL number the blocks in the same way."""
    # diffusers 0.11 to 0.17 gave adapters to the processors of the attention.
    name = re.sub(r"_processor_to_([qkv])$", r"_to_\1", name)
    name = re.sub(r"_processor_to_out$", "_to_out_0", name)
    found = re.fullmatch(
        r"(down|up)_blocks_(\d+)_(attentions|resnets|downsamplers|upsamplers)_(\d+)_(.+)", name
    )
    if found:
        side, block, what, index, rest = found.group(1, 2, 3, 4, 5)
        number = 3 * int(block) + int(index)
        if what == "downsamplers":
            return f"input_blocks_{3 * int(block) + 3}_0_op"
        if what == "upsamplers":
            return f"output_blocks_{3 * int(block) + 2}_1_{rest}"
        part = f"{int(what == 'attentions')}_{_resnet(rest) if what == 'resnets' else rest}"
        return f"input_blocks_{number + 1}_{part}" if side == "down" else f"output_blocks_{number}_{part}"
    found = re.fullmatch(r"mid_block_(attentions|resnets)_(\d+)_(.+)", name)
    if found:
        what, index, rest = found.group(1, 2, 3)
        return (
            f"middle_block_1_{rest}"
            if what == "attentions"
            else f"middle_block_{2 * int(index)}_{_resnet(rest)}"
        )
    # The first names that diffusers gave to adapters of text encoders.
    name = re.sub(r"_self_attn_to_([qkv])$", r"_self_attn_\1_proj", name)
    name = re.sub(r"_self_attn_to_out$", "_self_attn_out_proj", name)
    return _TIME.get(name, name)


_TIME = {"time_embedding_linear_1": "time_embed_0", "time_embedding_linear_2": "time_embed_2"}


def _resnet(name: str) -> str:
    return {
        "conv1": "in_layers_2",
        "conv2": "out_layers_3",
        "time_emb_proj": "emb_layers_1",
        "conv_shortcut": "skip_connection",
    }.get(name, name)


def _fused() -> list[tuple[re.Pattern[str], str, int | None, tuple[int, ...]]]:
    """Return diffusers' names of Flux's layers, several of which make one matrix of the checkpoint."""
    double, single = r"transformer_blocks_(\d+)_", r"single_transformer_blocks_(\d+)_"
    found: list[tuple[str, str, int | None, tuple[int, ...]]] = []
    for i, part in enumerate("qkv"):
        found.append((f"{double}attn_to_{part}", r"double_blocks_\1_img_attn_qkv", i, (1, 1, 1)))
        found.append((f"{double}attn_add_{part}_proj", r"double_blocks_\1_txt_attn_qkv", i, (1, 1, 1)))
        found.append((f"{single}attn_to_{part}", r"single_blocks_\1_linear1", i, (1, 1, 1, 4)))
        # SD1's split names against a fused text encoder are not mapped: upstream has them split too.
    found.append((f"{single}proj_mlp", r"single_blocks_\1_linear1", 3, (1, 1, 1, 4)))
    for theirs, ours in (
        ("attn_to_out_0", "img_attn_proj"),
        ("attn_to_add_out", "txt_attn_proj"),
        ("ff_net_0_proj", "img_mlp_0"),
        ("ff_net_2", "img_mlp_2"),
        ("ff_context_net_0_proj", "txt_mlp_0"),
        ("ff_context_net_2", "txt_mlp_2"),
        ("norm1_linear", "img_mod_lin"),
        ("norm1_context_linear", "txt_mod_lin"),
    ):
        found.append((double + theirs, rf"double_blocks_\1_{ours}", None, ()))
    found.append((f"{single}proj_out", r"single_blocks_\1_linear2", None, ()))
    found.append((f"{single}norm_linear", r"single_blocks_\1_modulation_lin", None, ()))
    found.append(("x_embedder", "img_in", None, ()))
    found.append(("context_embedder", "txt_in", None, ()))
    found.append(("proj_out", "final_layer_linear", None, ()))
    return [(re.compile(pattern), target, piece, pieces) for pattern, target, piece, pieces in found]


_FUSED = _fused()
