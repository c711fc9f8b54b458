"""The layers of text encoders.

The published names of CLIP are those of open_clip, whose q, k and v are one weight. Adapters and most files have the
names of transformers (modeling_clip.py), where they are three. ``text_projection`` has no entry: open_clip stores it
transposed. T5 and language models have one naming convention each, so they need no table.
"""

from __future__ import annotations

from harness.layers.layer import Family, Layers, Name, pieces, plain

#: The leaves of a layer: in open_clip and in transformers.
_LEAVES = {
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
}


def _layers() -> Layers:
    layers: dict[str, tuple[Name, ...]] = {}
    # Newer versions of transformers omit the first part of the name.
    stems = ("text_model.encoder.layers.{n}", "encoder.layers.{n}")
    block = "transformer.resblocks.{n}"
    layers[f"{block}.attn.in_proj"] = tuple(
        name
        for stem in stems
        for name in pieces((1, 1, 1), *(f"{stem}.self_attn.{part}_proj" for part in "qkv"))
    )
    for ours, theirs in _LEAVES.items():
        layers[f"{block}.{ours}"] = plain(*(f"{stem}.{theirs}" for stem in stems))
    layers["ln_final"] = plain("text_model.final_layer_norm", "final_layer_norm")
    layers["token_embedding"] = plain("text_model.embeddings.token_embedding", "embeddings.token_embedding")
    return layers


CLIP = Family(name="CLIP", layers=_layers(), marks=("transformer.resblocks.{n}.{rest}", "text_model.{rest}"))
