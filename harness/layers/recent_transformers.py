"""The layers of Anima, Krea 2, HunyuanVideo, LTX, Ovis-Image, Ernie-Image, Boogu-Image, MiniT2I and LongCat-Image.

The published names are those of the checkpoints that stable-diffusion.cpp reads (src/model/diffusion). Sources of the
other names: transformer_krea2.py, transformer_ovis_image.py, transformer_boogu.py, transformer_ernie_image.py and
scripts/convert_cosmos_to_diffusers.py, convert_ltx_to_diffusers.py and convert_hunyuan_video_to_diffusers.py of
diffusers, and networks/lora_hunyuan_video.py of musubi-tuner.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.layers.flux import FLUX
from harness.layers.layer import Family, Layers, Name, pieces, plain, swapped

_THIRDS = (1, 1, 1)


def _same(*names: str) -> dict[str, tuple[Name, ...]]:
    """Return layers that have one name."""
    return dict.fromkeys(names, ())


def _renamed(names: Iterable[tuple[str, str]]) -> dict[str, tuple[Name, ...]]:
    """Return layers that have another name in diffusers, given as pairs."""
    return {ours: plain(theirs) for ours, theirs in names}


def _anima() -> Layers:
    layers: dict[str, tuple[Name, ...]] = {}
    for ours, theirs, norm in (("self_attn", "attn1", "norm1"), ("cross_attn", "attn2", "norm2")):
        for part in "qkv":
            layers[f"blocks.{{n}}.{ours}.{part}_proj"] = plain(f"transformer_blocks.{{n}}.{theirs}.to_{part}")
        layers[f"blocks.{{n}}.{ours}.output_proj"] = plain(f"transformer_blocks.{{n}}.{theirs}.to_out.0")
        for number in (1, 2):
            layers[f"blocks.{{n}}.adaln_modulation_{ours}.{number}"] = plain(
                f"transformer_blocks.{{n}}.{norm}.linear_{number}"
            )
        for part in "qkvo":
            layers[f"llm_adapter.blocks.{{n}}.{ours}.{part}_proj"] = ()
    for number in (1, 2):
        layers[f"blocks.{{n}}.adaln_modulation_mlp.{number}"] = plain(
            f"transformer_blocks.{{n}}.norm3.linear_{number}"
        )
        layers[f"t_embedder.1.linear_{number}"] = plain(f"time_embed.t_embedder.linear_{number}")
        layers[f"final_layer.adaln_modulation.{number}"] = plain(f"norm_out.linear_{number}")
    layers |= _renamed(
        (
            ("blocks.{n}.mlp.layer1", "transformer_blocks.{n}.ff.net.0.proj"),
            ("blocks.{n}.mlp.layer2", "transformer_blocks.{n}.ff.net.2"),
            ("x_embedder.proj.1", "patch_embed.proj"),
            ("final_layer.linear", "proj_out"),
        )
    )
    return layers | _same(
        "llm_adapter.blocks.{n}.mlp.0", "llm_adapter.blocks.{n}.mlp.2", "llm_adapter.out_proj"
    )


#: Checkpoints have ``net.`` before each name, and adapters usually do not.
ANIMA = Family(
    name="Anima",
    layers=_anima(),
    marks=(
        "llm_adapter.{rest}",
        "blocks.{n}.self_attn.q_proj",
        "blocks.{n}.cross_attn.q_proj",
        "blocks.{n}.adaln_modulation_{rest}",
    ),
)


def _krea2() -> Layers:
    layers: dict[str, tuple[Name, ...]] = {}
    for ours, theirs in (
        ("blocks.{n}", "transformer_blocks.{n}"),
        ("txtfusion.layerwise_blocks.{n}", "text_fusion.layerwise_blocks.{n}"),
        ("txtfusion.refiner_blocks.{n}", "text_fusion.refiner_blocks.{n}"),
    ):
        for part in "qkv":
            layers[f"{ours}.attn.w{part}"] = plain(f"{theirs}.attn.to_{part}")
        layers[f"{ours}.attn.wo"] = plain(f"{theirs}.attn.to_out.0")
        layers[f"{ours}.attn.gate"] = plain(f"{theirs}.attn.to_gate")
        for part in ("gate", "up", "down"):
            layers[f"{ours}.mlp.{part}"] = plain(f"{theirs}.ff.{part}")
    return layers | _renamed(
        (
            ("first", "img_in"),
            ("tmlp.0", "time_embed.linear_1"),
            ("tmlp.2", "time_embed.linear_2"),
            ("tproj.1", "time_mod_proj"),
            ("txtmlp.1", "txt_in.linear_1"),
            ("txtmlp.3", "txt_in.linear_2"),
            ("txtfusion.projector", "text_fusion.projector"),
            ("last.linear", "final_layer.linear"),
        )
    )


KREA2 = Family(
    name="Krea 2",
    layers=_krea2(),
    marks=(
        "txtfusion.{rest}",
        "text_fusion.{rest}",
        "blocks.{n}.attn.wq",
        "blocks.{n}.mlp.gate",
        "transformer_blocks.{n}.attn.to_gate",
        "transformer_blocks.{n}.ff.gate",
    ),
)


def _hunyuan_video() -> Layers:
    """Return the layers of ComfyUI's checkpoints."""
    layers: dict[str, tuple[Name, ...]] = {}
    for stream, qkv, out, mlp, modulation in (
        ("img", ("to_q", "to_k", "to_v"), "to_out.0", "ff", "norm1"),
        ("txt", ("add_q_proj", "add_k_proj", "add_v_proj"), "to_add_out", "ff_context", "norm1_context"),
    ):
        double, block = f"double_blocks.{{n}}.{stream}", "transformer_blocks.{n}"
        layers[f"{double}_attn.qkv"] = (
            *pieces(_THIRDS, *(f"{block}.attn.{name}" for name in qkv)),
            *plain(f"{double}_attn_qkv", by="Tencent"),
        )
        layers[f"{double}_attn.proj"] = (
            *plain(f"{block}.attn.{out}"),
            *plain(f"{double}_attn_proj", by="Tencent"),
        )
        for number, theirs in ((0, "net.0.proj"), (2, "net.2")):
            layers[f"{double}_mlp.{number}"] = (
                *plain(f"{block}.{mlp}.{theirs}"),
                *plain(f"{double}_mlp.fc{number // 2 + 1}", by="Tencent"),
            )
        layers[f"{double}_mod.lin"] = (
            *plain(f"{block}.{modulation}.linear"),
            *plain(f"{double}_mod.linear", by="Tencent"),
        )
    refiner, block = (
        "txt_in.individual_token_refiner.blocks.{n}",
        "context_embedder.token_refiner.refiner_blocks.{n}",
    )
    layers[f"{refiner}.self_attn.qkv"] = (
        *pieces(_THIRDS, *(f"{block}.attn.to_{part}" for part in "qkv")),
        *plain(f"{refiner}.self_attn_qkv", by="Tencent"),
    )
    layers[f"{refiner}.self_attn.proj"] = (
        *plain(f"{block}.attn.to_out.0"),
        *plain(f"{refiner}.self_attn_proj", by="Tencent"),
    )
    for number, theirs in ((0, "net.0.proj"), (2, "net.2")):
        layers[f"{refiner}.mlp.{number}"] = plain(f"{block}.ff.{theirs}")
    for ours, theirs, tencent in (
        ("t", "timestep", ("mlp.0", "mlp.2")),
        ("c", "text", ("linear_1", "linear_2")),
    ):
        for part, number, original in zip(("in", "out"), (1, 2), tencent, strict=True):
            layers[f"txt_in.{ours}_embedder.{part}_layer"] = (
                *plain(f"context_embedder.time_text_embed.{theirs}_embedder.linear_{number}"),
                *plain(f"txt_in.{ours}_embedder.{original}", by="Tencent"),
            )
    layers |= _renamed(
        (
            (f"{refiner}.adaLN_modulation.1", f"{block}.norm_out.linear"),
            ("img_in.proj", "x_embedder.proj"),
            ("txt_in.input_embedder", "context_embedder.proj_in"),
            ("final_layer.linear", "proj_out"),
        )
    )
    layers["time_in.in_layer"] = (
        *plain("time_embed.timestep_embedder.linear_1"),
        *plain("time_in.mlp.0", by="Tencent"),
    )
    layers["time_in.out_layer"] = (
        *plain("time_embed.timestep_embedder.linear_2"),
        *plain("time_in.mlp.2", by="Tencent"),
    )
    # The published weight makes shift and scale, that of diffusers makes scale and shift.
    layers["final_layer.adaLN_modulation.1"] = (swapped("norm_out.linear"),)
    return layers


HUNYUAN_VIDEO = Family(
    name="HunyuanVideo",
    layers=_hunyuan_video(),
    marks=("txt_in.individual_token_refiner.{rest}", "context_embedder.token_refiner.{rest}"),
)


def _ltx() -> Layers:
    block = "transformer_blocks.{n}"
    names = [
        f"{block}.{attention}.{part}"
        for attention in (
            *("attn1", "attn2", "audio_attn1", "audio_attn2"),
            *("audio_to_video_attn", "video_to_audio_attn"),
        )
        for part in ("to_q", "to_k", "to_v", "to_out.0")
    ]
    names += [f"{block}.{mlp}.net.{part}" for mlp in ("ff", "audio_ff") for part in ("0.proj", "2")]
    modulations = (
        ("adaln_single", "time_embed"),
        ("audio_adaln_single", "audio_time_embed"),
        ("av_ca_video_scale_shift_adaln_single", "av_cross_attn_video_scale_shift"),
        ("av_ca_a2v_gate_adaln_single", "av_cross_attn_video_a2v_gate"),
        ("av_ca_audio_scale_shift_adaln_single", "av_cross_attn_audio_scale_shift"),
        ("av_ca_v2a_gate_adaln_single", "av_cross_attn_audio_v2a_gate"),
    )
    parts = ("linear", *(f"emb.timestep_embedder.linear_{number}" for number in (1, 2)))
    return _same(*names, "proj_out", "audio_proj_out") | _renamed(
        (
            ("patchify_proj", "proj_in"),
            ("audio_patchify_proj", "audio_proj_in"),
            *((f"{ours}.{part}", f"{theirs}.{part}") for ours, theirs in modulations for part in parts),
        )
    )


LTX = Family(name="LTX", layers=_ltx(), marks=("patchify_proj", "adaln_single.{rest}"))


def _ovis() -> Layers:
    """Return the layers of Flux with a gated MLP. Two of its matrices are one in diffusers, which has no entry here."""
    left_out = ("mlp.0", "mlp.2", "_in.in_layer", "_in.out_layer")
    layers = {name: names for name, names in FLUX.layers.items() if not name.endswith(left_out)}
    for stream, mlp in (("img", "ff"), ("txt", "ff_context")):
        double, block = f"double_blocks.{{n}}.{stream}_mlp", f"transformer_blocks.{{n}}.{mlp}"
        for name in ("up_proj", "gate_proj"):
            layers[f"{double}.{name}"] = plain(f"{double}.{name}", by="AIDC")
        layers[f"{double}.down_proj"] = plain(f"{block}.net.2")
    # The MLP takes two more parts of the weight than that of Flux: eight times the width.
    single, linear1 = "single_transformer_blocks.{n}", (1, 1, 1, 8)
    layers["single_blocks.{n}.linear1"] = pieces(
        linear1, *(f"{single}.attn.to_{part}" for part in "qkv"), f"{single}.proj_mlp"
    )
    for number, part in ((1, "in"), (2, "out")):
        layers[f"time_in.{part}_layer"] = plain(f"timestep_embedder.linear_{number}")
    return layers


OVIS_IMAGE = Family(name="Ovis-Image", layers=_ovis(), marks=("double_blocks.{n}.img_mlp.gate_proj",))
ERNIE_IMAGE = Family(
    name="Ernie-Image",
    layers={
        **_same(
            *(f"layers.{{n}}.self_attention.{part}" for part in ("to_q", "to_k", "to_v", "to_out.0")),
            *(f"layers.{{n}}.mlp.{part}" for part in ("gate_proj", "up_proj", "linear_fc2")),
            "x_embedder.proj",
            "text_proj",
            "time_embedding.linear_1",
            "time_embedding.linear_2",
            "adaLN_modulation.1",
            "final_norm.linear",
            "final_linear",
        ),
    },
    marks=("layers.{n}.self_attention.{rest}",),
)


def _boogu() -> Layers:
    names = []
    for block in ("single_stream_layers", "noise_refiner", "ref_image_refiner", "context_refiner"):
        names += [f"{block}.{{n}}.attn.{part}" for part in ("to_q", "to_k", "to_v", "to_out.0")]
        names += [f"{block}.{{n}}.feed_forward.linear_{number}" for number in (1, 2, 3)]
        names += [] if block == "context_refiner" else [f"{block}.{{n}}.norm1.linear"]
    double = "double_stream_layers.{n}"
    names += [f"{double}.img_self_attn.{part}" for part in ("to_q", "to_k", "to_v", "to_out.0")]
    names += [f"{double}.img_instruct_attn.to_out.0"]
    for stream in ("img", "instruct"):
        names += [
            f"{double}.img_instruct_attn.processor.{stream}_{part}"
            for part in ("to_q", "to_k", "to_v", "out")
        ]
        names += [f"{double}.{stream}_feed_forward.linear_{number}" for number in (1, 2, 3)]
        names += [f"{double}.{stream}_norm{number}.linear" for number in (1, 2)]
    names += [f"{double}.img_norm3.linear"]
    return _same(
        *names,
        "x_embedder",
        "ref_image_patch_embedder",
        "time_caption_embed.caption_embedder.1",
        "time_caption_embed.timestep_embedder.linear_1",
        "time_caption_embed.timestep_embedder.linear_2",
        "norm_out.linear_1",
        "norm_out.linear_2",
    )


#: The published names are those of diffusers.
BOOGU_IMAGE = Family(
    name="Boogu-Image",
    layers=_boogu(),
    marks=("double_stream_layers.{n}.{rest}", "single_stream_layers.{n}.{rest}"),
)
MINIT2I = Family(
    name="MiniT2I",
    layers=_same(
        *(
            f"model.net.{block}{leaf}"
            for block in ("double_blocks.{n}.img_", "double_blocks.{n}.txt_", "txt_preamble_blocks.{n}.")
            for leaf in ("qkv", "attn_proj", "mlp.w1", "mlp.w2", "mlp.w3")
        ),
        "model.net.img_embedder.proj1",
        "model.net.img_embedder.proj2",
        "model.net.txt_embedder",
        "model.net.pooled_embedder",
        "model.net.t_embedder.mlp.0",
        "model.net.t_embedder.mlp.2",
        "model.net.final_layer.linear",
    ),
    marks=("model.net.{rest}",),
)
LONGCAT_IMAGE = Family(
    name="LongCat-Image",
    layers={
        **{
            name: names
            for name, names in FLUX.layers.items()
            if not name.startswith(("guidance_in", "vector_in", "time_in"))
        },
        "time_in.in_layer": plain("time_embed.timestep_embedder.linear_1"),
        "time_in.out_layer": plain("time_embed.timestep_embedder.linear_2"),
    },
)
