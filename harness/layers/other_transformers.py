"""The layers of Qwen-Image, Z-Image and Wan.

Sources: transformer_qwenimage.py, transformer_z_image.py and scripts/convert_wan_to_diffusers.py of diffusers,
``z_image_to_diffusers`` in comfy/utils.py of ComfyUI, and the repositories QwenLM/Qwen-Image and Wan-Video/Wan2.1.
"""

from __future__ import annotations

from harness.layers.layer import Family, Layers, Name, pieces, plain

#: The published names of Qwen-Image are those of diffusers.
QWEN_IMAGE = Family(
    name="Qwen-Image",
    layers={
        **{
            f"transformer_blocks.{{n}}.{leaf}": ()
            for leaf in (
                *(f"attn.to_{part}" for part in "qkv"),
                *(f"attn.add_{part}_proj" for part in "qkv"),
                "attn.to_out.0",
                "attn.to_add_out",
                *(f"attn.norm_{part}" for part in "qk"),
                *(f"attn.norm_added_{part}" for part in "qk"),
                *(f"{stream}_mlp.net.{part}" for stream in ("img", "txt") for part in ("0.proj", "2")),
                "img_mod.1",
                "txt_mod.1",
            )
        },
        **dict.fromkeys(("img_in", "txt_in", "txt_norm", "norm_out.linear", "proj_out"), ()),
        "time_text_embed.timestep_embedder.linear_1": (),
        "time_text_embed.timestep_embedder.linear_2": (),
    },
    marks=("transformer_blocks.{n}.img_mod.1", "transformer_blocks.{n}.img_mlp.{rest}", "txt_norm"),
)


def _z_image() -> Layers:
    layers: dict[str, tuple[Name, ...]] = {}
    for group in ("layers", "noise_refiner", "context_refiner"):
        stem = f"{group}.{{n}}"
        layers[f"{stem}.attention.qkv"] = pieces(
            (1, 1, 1), *(f"{stem}.attention.to_{part}" for part in "qkv")
        )
        layers[f"{stem}.attention.out"] = plain(f"{stem}.attention.to_out.0")
        for part in "qk":
            layers[f"{stem}.attention.{part}_norm"] = plain(f"{stem}.attention.norm_{part}")
        for leaf in ("feed_forward.w1", "feed_forward.w2", "feed_forward.w3", "adaLN_modulation.0"):
            layers[f"{stem}.{leaf}"] = ()
        for leaf in ("attention_norm1", "attention_norm2", "ffn_norm1", "ffn_norm2"):
            layers[f"{stem}.{leaf}"] = ()
    layers["x_embedder"] = plain("all_x_embedder.2-1")
    layers["final_layer.linear"] = plain("all_final_layer.2-1.linear")
    layers["final_layer.adaLN_modulation.1"] = plain("all_final_layer.2-1.adaLN_modulation.1")
    for name in ("cap_embedder.0", "cap_embedder.1", "t_embedder.mlp.0", "t_embedder.mlp.2"):
        layers[name] = ()
    return layers


Z_IMAGE = Family(
    name="Z-Image",
    layers=_z_image(),
    marks=("layers.{n}.attention.{rest}", "noise_refiner.{n}.{rest}", "cap_embedder.{rest}"),
)


def _wan() -> Layers:
    layers: dict[str, tuple[Name, ...]] = {}
    for ours, theirs in (("self_attn", "attn1"), ("cross_attn", "attn2")):
        for part in "qkv":
            layers[f"blocks.{{n}}.{ours}.{part}"] = plain(f"blocks.{{n}}.{theirs}.to_{part}")
        layers[f"blocks.{{n}}.{ours}.o"] = plain(f"blocks.{{n}}.{theirs}.to_out.0")
        for part in "qk":
            layers[f"blocks.{{n}}.{ours}.norm_{part}"] = plain(f"blocks.{{n}}.{theirs}.norm_{part}")
    layers["blocks.{n}.cross_attn.k_img"] = plain("blocks.{n}.attn2.add_k_proj")
    layers["blocks.{n}.cross_attn.v_img"] = plain("blocks.{n}.attn2.add_v_proj")
    layers["blocks.{n}.cross_attn.norm_k_img"] = plain("blocks.{n}.attn2.norm_added_k")
    layers["blocks.{n}.ffn.0"] = plain("blocks.{n}.ffn.net.0.proj")
    layers["blocks.{n}.ffn.2"] = plain("blocks.{n}.ffn.net.2")
    # The published norm3 is norm2 of diffusers. Neither program has weights in its other norms.
    layers["blocks.{n}.norm3"] = plain("blocks.{n}.norm2")
    layers["head.head"] = plain("proj_out")
    for ours, theirs in (
        ("time_embedding.0", "time_embedder.linear_1"),
        ("time_embedding.2", "time_embedder.linear_2"),
        ("text_embedding.0", "text_embedder.linear_1"),
        ("text_embedding.2", "text_embedder.linear_2"),
        ("time_projection.1", "time_proj"),
        ("img_emb.proj.0", "image_embedder.norm1"),
        ("img_emb.proj.1", "image_embedder.ff.net.0.proj"),
        ("img_emb.proj.3", "image_embedder.ff.net.2"),
        ("img_emb.proj.4", "image_embedder.norm2"),
    ):
        layers[ours] = plain(f"condition_embedder.{theirs}")
    layers["patch_embedding"] = ()
    return layers


WAN = Family(
    name="Wan",
    layers=_wan(),
    marks=(
        *(f"blocks.{{n}}.{attention}_attn.{part}" for attention in ("self", "cross") for part in "qkvo"),
        "blocks.{n}.attn1.to_q",
        "blocks.{n}.attn2.{rest}",
        "condition_embedder.{rest}",
    ),
)
