"""The layers of SD 3 and SD 3.5.

The published names are those of Stability AI (mmditx.py of sd3.5), which sd-scripts uses too. Sources of the other
names: ``convert_sd3_transformer_checkpoint_to_diffusers`` in loaders/single_file_utils.py of diffusers and
``mmdit_to_diffusers`` in comfy/utils.py of ComfyUI.

``norm1_context.linear`` of the last block has two parts, in exchanged order. That of the other blocks has six parts in
the same order. The name does not tell which block is the last one, but the shape of the weight does.
"""

from __future__ import annotations

from harness.layers.layer import Family, Layers, Name, pieces, plain, swapped

_THIRDS = (1, 1, 1)


def _layers() -> Layers:
    block = "transformer_blocks.{n}"
    layers: dict[str, tuple[Name, ...]] = {}
    for ours, attention, qkv, out, mlp in (
        ("x_block", "attn", ("to_q", "to_k", "to_v"), "to_out.0", "ff"),
        ("context_block", "attn", ("add_q_proj", "add_k_proj", "add_v_proj"), "to_add_out", "ff_context"),
        ("x_block", "attn2", ("to_q", "to_k", "to_v"), "to_out.0", ""),
    ):
        stem = f"joint_blocks.{{n}}.{ours}"
        layers[f"{stem}.{attention}.qkv"] = pieces(_THIRDS, *(f"{block}.{attention}.{name}" for name in qkv))
        layers[f"{stem}.{attention}.proj"] = plain(f"{block}.{attention}.{out}")
        norm = "norm_added" if ours == "context_block" else "norm"
        for part in "qk":
            layers[f"{stem}.{attention}.ln_{part}"] = plain(f"{block}.{attention}.{norm}_{part}")
        if mlp:
            layers[f"{stem}.mlp.fc1"] = plain(f"{block}.{mlp}.net.0.proj")
            layers[f"{stem}.mlp.fc2"] = plain(f"{block}.{mlp}.net.2")
    layers["joint_blocks.{n}.x_block.adaLN_modulation.1"] = plain(f"{block}.norm1.linear")
    layers["joint_blocks.{n}.context_block.adaLN_modulation.1"] = (
        swapped(f"{block}.norm1_context.linear", ratio=2),
    )
    layers["context_embedder"] = ()
    layers["x_embedder.proj"] = plain("pos_embed.proj")
    layers["t_embedder.mlp.0"] = plain("time_text_embed.timestep_embedder.linear_1")
    layers["t_embedder.mlp.2"] = plain("time_text_embed.timestep_embedder.linear_2")
    layers["y_embedder.mlp.0"] = plain("time_text_embed.text_embedder.linear_1")
    layers["y_embedder.mlp.2"] = plain("time_text_embed.text_embedder.linear_2")
    layers["final_layer.linear"] = plain("proj_out")
    # The published weight makes shift and scale, that of diffusers makes scale and shift.
    layers["final_layer.adaLN_modulation.1"] = (swapped("norm_out.linear"),)
    return layers


SD3 = Family(name="SD 3", layers=_layers(), marks=("joint_blocks.{n}.{rest}", "pos_embed.proj"))
