"""The layers of families for which hardly any trainer exists, by the names that stable-diffusion.cpp reads.

The names are those of src/model/diffusion in revision 2026-07, which are those of the published checkpoints. The blocks
come first, then some of the outer layers.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.layers.flux import CHROMA, FLUX2
from harness.layers.layer import Family
from harness.layers.other_transformers import QWEN_IMAGE
from harness.layers.unet import UNET


def _family(
    name: str, blocks: dict[str, Iterable[str]], outer: Iterable[str], marks: tuple[str, ...] = ()
) -> Family:
    """Return a family whose layers have one name. ``blocks`` has the layers of each list of blocks."""
    names = [f"{block}.{{n}}.{leaf}" for block, leaves in blocks.items() for leaf in leaves]
    return Family(name=name, layers=dict.fromkeys((*names, *outer), ()), marks=marks)


_QKV = ("to_q", "to_k", "to_v")
LINGBOT_VIDEO = _family(
    "LingBot-Video",
    {
        "blocks": (
            *(f"attn.{part}" for part in (*_QKV, "to_out")),
            *(f"ffn.{part}" for part in ("gate_proj", "up_proj", "down_proj")),
        )
    },
    (
        "patch_embedder",
        *(f"{part}_embedder.linear_{number}" for part in ("text", "time") for number in (1, 2)),
        *("time_modulation.1", "norm_out_modulation.1", "proj_out"),
    ),
    ("blocks.{n}.ffn.gate_proj", "time_modulation.1", "norm_out_modulation.1"),
)
LENS = _family(
    "Lens",
    {
        "transformer_blocks": (
            *(f"attn.{part}" for part in ("img_qkv", "txt_qkv", "to_out.0", "to_add_out")),
            *(f"{stream}_mlp.{part}" for stream in ("img", "txt") for part in ("w1", "w2", "w3")),
            *("img_mod.1", "txt_mod.1"),
        )
    },
    (
        *("img_in", "txt_in", "norm_out.linear", "proj_out"),
        *(f"time_text_embed.timestep_embedder.linear_{number}" for number in (1, 2)),
    ),
    ("transformer_blocks.{n}.attn.img_qkv", "transformer_blocks.{n}.img_mlp.w1"),
)
IDEOGRAM4 = _family(
    "Ideogram 4",
    {
        "layers": (
            *("attention.qkv", "attention.o", "adaln_modulation"),
            *(f"feed_forward.{part}" for part in ("w1", "w2", "w3")),
        )
    },
    (
        *("input_proj", "llm_cond_proj", "t_embedding.mlp_in", "t_embedding.mlp_out", "adaln_proj"),
        *("final_layer.adaln_modulation", "final_layer.linear"),
    ),
    ("layers.{n}.attention.o", "layers.{n}.adaln_modulation", "llm_cond_proj"),
)
HIDREAM_O1 = _family(
    "HiDream-O1",
    {
        "language_model.layers": (
            *(f"self_attn.{part}_proj" for part in "qkvo"),
            *(f"mlp.{part}_proj" for part in ("gate", "up", "down")),
        )
    },
    ("t_embedder1.mlp.0", "t_embedder1.mlp.2", "x_embedder.proj1", "x_embedder.proj2", "final_layer2.linear"),
    ("language_model.layers.{n}.{rest}",),
)
PID = _family(
    "PiD",
    {
        "patch_blocks": (
            *("attn.qkv_x", "attn.qkv_y", "attn.proj_x", "attn.proj_y"),
            *(f"mlp_{stream}.{part}" for stream in "xy" for part in ("w1", "w2", "w3")),
            *("adaLN_modulation_img.0", "adaLN_modulation_txt.0"),
        ),
        "pixel_blocks": (
            *("attn.qkv", "attn.proj", "compress_to_attn", "expand_from_attn", "adaLN_modulation.0"),
            *("mlp.fc1", "mlp.fc2"),
        ),
        "lq_proj.gate_modules": ("content_proj",),
        "lq_proj.latent_proj": ("block.2", "block.5"),
    },
    (
        *("pixel_embedder.proj", "s_embedder.proj", "y_embedder.proj", "final_layer.linear"),
        *("t_embedder.mlp.0", "t_embedder.mlp.2", "lq_proj.output_heads.{n}"),
        *("lq_proj.latent_proj.0", "lq_proj.latent_proj.2"),
    ),
    ("patch_blocks.{n}.{rest}", "pixel_blocks.{n}.{rest}"),
)
#: Mage-Flow has the layers of Qwen-Image.
MAGE_FLOW = Family(name="Mage-Flow", layers=QWEN_IMAGE.layers)
#: SeFi-Image is Flux.2 with another embedding of two timesteps.
SEFI_IMAGE = Family(
    name="SeFi-Image",
    layers={
        **FLUX2.layers,
        **{
            f"dual_time_embed.{part}_embedder.linear_{number}": ()
            for part in ("semantic", "texture")
            for number in (1, 2)
        },
    },
)
#: Chroma Radiance computes pixels: other layers replace the first and the last of Chroma.
CHROMA_RADIANCE = Family(
    name="Chroma Radiance",
    layers={
        **{
            name: names
            for name, names in CHROMA.layers.items()
            if name not in ("img_in", "final_layer.linear")
        },
        **dict.fromkeys(
            (
                "img_in_patch",
                "nerf_image_embedder.embedder.0",
                "nerf_blocks.{n}.param_generator",
                "nerf_final_layer_conv.conv",
            ),
            (),
        ),
    },
)
#: SVD has a second transformer and a mixing layer beside each transformer of the UNet of SD 2.
SVD = Family(
    name="SVD",
    layers={
        **UNET.layers,
        "input_blocks.1.1.time_stack.0.attn1.to_q": (),
        "input_blocks.1.1.time_stack.0.ff.net.2": (),
        "input_blocks.1.1.time_pos_embed.0": (),
    },
    rest=UNET.rest,
)
