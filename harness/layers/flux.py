"""The layers of Flux.1, Chroma and Flux.2. HunyuanVideo has the blocks of Flux.1, with ``fc1`` and ``linear`` in names.

The published names are those of Black Forest Labs (src/flux/model.py, src/flux2/model.py). Sources of the other names:
scripts/convert_flux_to_diffusers.py and loaders/lora_conversion_utils.py of diffusers, comfy/lora.py and
comfy/lora_convert.py of ComfyUI, and src/flux/modules/layers.py of XLabs' x-flux. sd-scripts uses the published names.

Where several programs split a fused weight, its rows are q, k, v and, in a single block, the first layer of the MLP.
"""

from __future__ import annotations

from harness.layers.layer import Family, Layers, Name, pieces, plain, swapped

_THIRDS = (1, 1, 1)
#: The rows of ``linear1`` in Flux.1: q, k, v and an MLP four times as wide.
_LINEAR1 = (1, 1, 1, 4)
#: The streams of a double block: the published name, the names of q, k, v, the output and the MLP in diffusers, the
#: prefixes of its norms there, the number of XLabs and the letter of DiffSynth.
_STREAMS = (
    ("img", ("to_q", "to_k", "to_v"), "to_out.0", "ff", "norm1", "norm", "1", "a"),
    (
        "txt",
        ("add_q_proj", "add_k_proj", "add_v_proj"),
        "to_add_out",
        "ff_context",
        "norm1_context",
        "norm_added",
        "2",
        "b",
    ),
)


def _double_blocks(mlp_in: str, mlp_out: str) -> Layers:
    """Return the layers of a double block; ``mlp_in`` and ``mlp_out`` name the MLP in diffusers."""
    layers: dict[str, tuple[Name, ...]] = {}
    block = "transformer_blocks.{n}"
    for stream, qkv, out, mlp, modulation, norm, number, letter in _STREAMS:
        double = f"double_blocks.{{n}}.{stream}"
        fused = f"{double}_attn.qkv"
        layers[fused] = (
            *pieces(_THIRDS, *(f"{block}.attn.{name}" for name in qkv)),
            # OneTrainer numbers the pieces of the published weight.
            *pieces(_THIRDS, *(f"{fused}.{i}" for i in range(3)), by="OneTrainer"),
            *plain(f"double_blocks.{{n}}.processor.qkv_lora{number}", by="XLabs"),
            *plain(f"blocks.{{n}}.attn.{letter}_to_qkv", by="DiffSynth"),
            *plain(f"{block}.attn.{'to_qkv' if stream == 'img' else 'to_added_qkv'}", by="SimpleTuner"),
        )
        layers[f"{double}_attn.proj"] = (
            *plain(f"{block}.attn.{out}"),
            *plain(f"double_blocks.{{n}}.processor.proj_lora{number}", by="XLabs"),
            *plain(f"blocks.{{n}}.attn.{letter}_to_out", by="DiffSynth"),
        )
        for leaf, diffusers, diffsynth, tencent in (
            ("mlp.0", f"{mlp}.{mlp_in}", f"ff_{letter}.0", "mlp.fc1"),
            ("mlp.2", f"{mlp}.{mlp_out}", f"ff_{letter}.2", "mlp.fc2"),
            ("mod.lin", f"{modulation}.linear", f"norm1_{letter}.linear", "mod.linear"),
        ):
            layers[f"{double}_{leaf}"] = (
                *plain(f"{block}.{diffusers}"),
                *plain(f"blocks.{{n}}.{diffsynth}", by="DiffSynth"),
                *plain(f"{double}_{tencent}", by="Tencent"),
            )
        for part, short in (("query", "q"), ("key", "k")):
            layers[f"{double}_attn.norm.{part}_norm"] = plain(f"{block}.attn.{norm}_{short}")
    return layers


_single = "single_transformer_blocks.{n}"
_FLUX1: Layers = {
    **_double_blocks("net.0.proj", "net.2"),
    "single_blocks.{n}.linear1": (
        *pieces(
            _LINEAR1,
            *(f"{_single}.attn.to_{part}" for part in "qkv"),
            f"{_single}.proj_mlp",
        ),
        *pieces(_LINEAR1, *(f"single_blocks.{{n}}.linear1.{i}" for i in range(4)), by="OneTrainer"),
        Name(text=f"{_single}.attn.to_qkv", units=_LINEAR1, take=(0, 1, 2), by="SimpleTuner"),
        Name(text="single_blocks.{n}.processor.qkv_lora", units=_LINEAR1, take=(0, 1, 2), by="XLabs"),
        # DiffSynth trains both under one name.
        *plain("single_blocks.{n}.to_qkv_mlp", by="DiffSynth"),
    ),
    "single_blocks.{n}.linear2": (
        *plain(f"{_single}.proj_out"),
        *plain("single_blocks.{n}.proj_out", by="DiffSynth"),
        *plain("single_blocks.{n}.processor.proj_lora", by="XLabs"),
    ),
    "single_blocks.{n}.modulation.lin": (
        *plain(f"{_single}.norm.linear"),
        *plain("single_blocks.{n}.norm.linear", by="DiffSynth"),
        *plain("single_blocks.{n}.modulation.linear", by="Tencent"),
    ),
    "single_blocks.{n}.norm.query_norm": plain(f"{_single}.attn.norm_q"),
    "single_blocks.{n}.norm.key_norm": plain(f"{_single}.attn.norm_k"),
    "img_in": plain("x_embedder"),
    "txt_in": plain("context_embedder"),
    "time_in.in_layer": plain("time_text_embed.timestep_embedder.linear_1"),
    "time_in.out_layer": plain("time_text_embed.timestep_embedder.linear_2"),
    "guidance_in.in_layer": plain("time_text_embed.guidance_embedder.linear_1"),
    "guidance_in.out_layer": plain("time_text_embed.guidance_embedder.linear_2"),
    "vector_in.in_layer": plain("time_text_embed.text_embedder.linear_1"),
    "vector_in.out_layer": plain("time_text_embed.text_embedder.linear_2"),
    "final_layer.linear": plain("proj_out"),
    # The published weight makes shift and scale, that of diffusers makes scale and shift.
    "final_layer.adaLN_modulation.1": (swapped("norm_out.linear"),),
}
FLUX = Family(
    name="Flux.1",
    layers=_FLUX1,
    marks=(
        "double_blocks.{n}.{rest}",
        "single_blocks.{n}.{rest}",
        "single_transformer_blocks.{n}.{rest}",
        "guidance_in.{rest}",
    ),
)
CHROMA = Family(
    name="Chroma",
    layers={
        **_FLUX1,
        "distilled_guidance_layer.in_proj": (),
        "distilled_guidance_layer.out_proj": (),
        "distilled_guidance_layer.layers.{n}.in_layer": plain("distilled_guidance_layer.layers.{n}.linear_1"),
        "distilled_guidance_layer.layers.{n}.out_layer": plain(
            "distilled_guidance_layer.layers.{n}.linear_2"
        ),
        "distilled_guidance_layer.norms.{n}": (),
    },
    marks=("distilled_guidance_layer.{rest}",),
)
FLUX2 = Family(
    name="Flux.2",
    layers={
        **_double_blocks("linear_in", "linear_out"),
        "single_blocks.{n}.linear1": plain(f"{_single}.attn.to_qkv_mlp_proj"),
        "single_blocks.{n}.linear2": plain(f"{_single}.attn.to_out"),
        "single_blocks.{n}.norm.query_norm": plain(f"{_single}.attn.norm_q"),
        "single_blocks.{n}.norm.key_norm": plain(f"{_single}.attn.norm_k"),
        "double_stream_modulation_img.lin": plain("double_stream_modulation_img.linear"),
        "double_stream_modulation_txt.lin": plain("double_stream_modulation_txt.linear"),
        "single_stream_modulation.lin": plain("single_stream_modulation.linear"),
        "img_in": plain("x_embedder"),
        "txt_in": plain("context_embedder"),
        "time_in.in_layer": plain("time_guidance_embed.timestep_embedder.linear_1"),
        "time_in.out_layer": plain("time_guidance_embed.timestep_embedder.linear_2"),
        "guidance_in.in_layer": plain("time_guidance_embed.guidance_embedder.linear_1"),
        "guidance_in.out_layer": plain("time_guidance_embed.guidance_embedder.linear_2"),
        "final_layer.linear": plain("proj_out"),
        "final_layer.adaLN_modulation.1": (swapped("norm_out.linear"),),
    },
    marks=(
        "double_stream_modulation_img.{rest}",
        "single_stream_modulation.{rest}",
        "single_transformer_blocks.{n}.attn.to_qkv_mlp_proj",
        "transformer_blocks.{n}.ff.linear_in",
    ),
)
