"""Diffusers' names for the layers of model families whose original names differ; those of flux are in ``flux_names``.

Sources: diffusers, src/diffusers/models/transformers (transformer_sd3.py, transformer_flux2.py,
transformer_z_image.py, transformer_krea2.py, transformer_anima.py) and loaders/single_file_utils.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names of one family.

    ``blocks`` maps the original names of lists of blocks to diffusers' names; lists that it lacks have the same name.
    ``layers`` maps the names of layers in a block. A fused matrix has several names, in the order of its rows. Layers
    that it lacks have the same name.
    """

    blocks: Mapping[str, str] = field(default_factory=dict)
    layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def of(self, layer: str) -> tuple[str, ...]:
        """Return diffusers' names of a layer, one for each of the equal parts of its rows."""
        blocks, number, rest = layer.split(".", 2)
        names = self.layers.get(rest, (rest,))
        return tuple(f"{self.blocks.get(blocks, blocks)}.{number}.{name}" for name in names)


def _attention(stream: str, *, added: bool) -> dict[str, tuple[str, ...]]:
    """Return the names of the fused queries, keys and values and of the output of a stream's attention."""
    if added:
        parts, out = ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"), "attn.to_add_out"
    else:
        parts, out = ("attn.to_q", "attn.to_k", "attn.to_v"), "attn.to_out.0"
    return {f"{stream}attn.qkv": parts, f"{stream}attn.proj": (out,)}


#: By the architecture of the base model.
FAMILIES = {
    "sd3": Names(
        blocks={"joint_blocks": "transformer_blocks"},
        layers={
            **_attention("x_block.", added=False),
            **_attention("context_block.", added=True),
            "x_block.mlp.fc1": ("ff.net.0.proj",),
            "x_block.mlp.fc2": ("ff.net.2",),
            "context_block.mlp.fc1": ("ff_context.net.0.proj",),
            "context_block.mlp.fc2": ("ff_context.net.2",),
        },
    ),
    "flux2-klein": Names(
        blocks={"double_blocks": "transformer_blocks", "single_blocks": "single_transformer_blocks"},
        layers={
            **_attention("img_", added=False),
            **_attention("txt_", added=True),
            "img_mlp.0": ("ff.linear_in",),
            "img_mlp.2": ("ff.linear_out",),
            "txt_mlp.0": ("ff_context.linear_in",),
            "txt_mlp.2": ("ff_context.linear_out",),
            "linear1": ("attn.to_qkv_mlp_proj",),
            "linear2": ("attn.to_out",),
        },
    ),
    "z-image": Names(
        layers={
            "attention.qkv": ("attention.to_q", "attention.to_k", "attention.to_v"),
            "attention.out": ("attention.to_out.0",),
        },
    ),
    "ernie-image": Names(),
    "krea2": Names(
        blocks={"blocks": "transformer_blocks"},
        layers={
            **{f"attn.w{part}": (f"attn.to_{part}",) for part in "qkv"},
            "attn.wo": ("attn.to_out.0",),
            "attn.gate": ("attn.to_gate",),
            **{f"mlp.{part}": (f"ff.{part}",) for part in ("gate", "up", "down")},
        },
    ),
    "anima": Names(
        blocks={"blocks": "transformer_blocks"},
        layers={
            f"{ours}.{name}": (f"{theirs}.{other}",)
            for ours, theirs in (("self_attn", "attn1"), ("cross_attn", "attn2"))
            for name, other in (
                *((f"{part}_proj", f"to_{part}") for part in "qkv"),
                ("output_proj", "to_out.0"),
            )
        },
    ),
}
