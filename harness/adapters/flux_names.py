"""The names of flux's layers.

They are those of the original (src/flux/model.py) and of diffusers (models/transformers/transformer_flux.py).
"""

from __future__ import annotations

#: The blocks of the original, and of diffusers.
_BLOCKS = {"double_blocks": "transformer_blocks", "single_blocks": "single_transformer_blocks"}
#: From the names of layers in a block of the original to their names in diffusers. A fused matrix has several names, in
#: the order of its rows.
_IN_BLOCK = {
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "img_attn.proj": ("attn.to_out.0",),
    "img_attn.norm.query_norm": ("attn.norm_q",),
    "img_attn.norm.key_norm": ("attn.norm_k",),
    "img_mlp.0": ("ff.net.0.proj",),
    "img_mlp.2": ("ff.net.2",),
    "img_mod.lin": ("norm1.linear",),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "txt_attn.proj": ("attn.to_add_out",),
    "txt_attn.norm.query_norm": ("attn.norm_added_q",),
    "txt_attn.norm.key_norm": ("attn.norm_added_k",),
    "txt_mlp.0": ("ff_context.net.0.proj",),
    "txt_mlp.2": ("ff_context.net.2",),
    "txt_mod.lin": ("norm1_context.linear",),
    "linear1": ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"),
    "linear2": ("proj_out",),
    "norm.query_norm": ("attn.norm_q",),
    "norm.key_norm": ("attn.norm_k",),
    "modulation.lin": ("norm.linear",),
}
#: The layers outside the blocks.
_OUTER = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
    "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    "final_layer.linear": "proj_out",
    "final_layer.adaLN_modulation.1": "norm_out.linear",
}
#: The layer whose halves are exchanged: the original computes shift and scale, diffusers scale and shift.
SWAPPED = "final_layer.adaLN_modulation.1"


def diffusers(name: str) -> tuple[str, tuple[str, ...]]:
    """Return diffusers' names of a layer of the original: the prefix of its block, and the names behind that.

    A layer outside the blocks has the prefix "". Raises KeyError if the layer is unknown.
    """
    if name in _OUTER:
        return "", (_OUTER[name],)
    blocks, number, layer = name.split(".", 2)
    return f"{_BLOCKS[blocks]}.{number}.", _IN_BLOCK[layer]
