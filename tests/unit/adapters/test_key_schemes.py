from __future__ import annotations

import pytest

from harness.adapters.adapter import Adapter, target_parts
from harness.adapters.diffusers_names import NamedRows
from harness.adapters.key_schemes import SCHEMES, Target
from harness.adapters.kinds import KINDS
from harness.models.tiny_models import FLUX_SMALL, SD1_TINY

QUERY = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
OUT = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0"
CONV = "down_blocks.0.resnets.0.conv1"
TEXT = "text_model.encoder.layers.1.self_attn.q_proj"
QKV = "double_blocks.0.img_attn.qkv"
JOINT = "joint_blocks.0.x_block.attn.qkv"
WAN_O = "blocks.0.cross_attn.o"
NORM = "down_blocks.0.attentions.0.norm"
TEXT_2 = "text_model.encoder.layers.30.self_attn.q_proj"
TEXT_T5 = "encoder.block.0.layer.0.SelfAttention.q"
SHAPES = {
    QUERY: (320, 320),
    OUT: (320, 320),
    CONV: (320, 320, 3, 3),
    TEXT: (768, 768),
    QKV: (768, 256),
    JOINT: (288, 96),
    WAN_O: (1536, 1536),
    NORM: (320,),
    TEXT_2: (1280, 1280),
    TEXT_T5: (64, 64),
}
GROUPS = {CONV: "conv3x3", TEXT: "text", NORM: "norms", TEXT_2: "text-2", TEXT_T5: "text-t5"}

UNDER = "down_blocks_0_attentions_0_transformer_blocks_0_attn1"
DOTTED = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
ENCODER = "text_encoder.text_model.encoder.layers.1"
LDM = "input_blocks.1.1.transformer_blocks.0.attn1"
#: The weights of targets whose names in the original checkpoint a scheme uses.
TENSORS = {
    QKV: f"model.diffusion_model.{QKV}.weight",
    QUERY: f"model.diffusion_model.{LDM}.to_q.weight",
    WAN_O: f"model.diffusion_model.{WAN_O}.weight",
}
#: The names in files: architecture, scheme, target, factor and the name of the tensor.
NAMES = [
    ("sd1", "kohya", QUERY, "down", f"lora_unet_{UNDER}_to_q.lora_down.weight"),
    ("sd1", "kohya", OUT, "up", f"lora_unet_{UNDER}_to_out_0.lora_up.weight"),
    ("sd1", "kohya", CONV, "mid", "lora_unet_down_blocks_0_resnets_0_conv1.lora_mid.weight"),
    ("sd1", "kohya", TEXT, "alpha", "lora_te_text_model_encoder_layers_1_self_attn_q_proj.alpha"),
    ("flux", "kohya", TEXT, "down", "lora_te1_text_model_encoder_layers_1_self_attn_q_proj.lora_down.weight"),
    ("flux", "kohya", QKV, "scale", "lora_unet_double_blocks_0_img_attn_qkv.scale"),
    ("flux", "kohya", QKV, "hada_w1_a", "lora_unet_double_blocks_0_img_attn_qkv.hada_w1_a"),
    ("flux", "kohya", QKV, "hada_t2", "lora_unet_double_blocks_0_img_attn_qkv.hada_t2"),
    ("flux", "kohya", QKV, "lokr_w2_b", "lora_unet_double_blocks_0_img_attn_qkv.lokr_w2_b"),
    ("flux", "kohya", QKV, "diff", "lora_unet_double_blocks_0_img_attn_qkv.diff"),
    ("flux", "kohya", QKV, "diff_b", "lora_unet_double_blocks_0_img_attn_qkv.diff_b"),
    ("flux", "kohya", QKV, "dora_scale", "lora_unet_double_blocks_0_img_attn_qkv.dora_scale"),
    ("sd1", "peft", QUERY, "down", f"unet.{DOTTED}.to_q.lora_A.weight"),
    ("sd1", "peft", QUERY, "up", f"unet.{DOTTED}.to_q.lora_B.weight"),
    ("sd1", "peft", TEXT, "up", f"{ENCODER}.self_attn.q_proj.lora_B.weight"),
    ("sd1", "peft", CONV, "alpha", "unet.down_blocks.0.resnets.0.conv1.alpha"),
    ("flux", "peft", QKV, "down", "diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight"),
    ("flux", "peft", QKV, "dora_scale", "diffusion_model.double_blocks.0.img_attn.qkv.lora_magnitude_vector"),
    ("flux", "peft-default", QKV, "up", "diffusion_model.double_blocks.0.img_attn.qkv.lora_B.default.weight"),
    ("sd1", "processor", QUERY, "down", f"unet.{DOTTED}.processor.to_q_lora.down.weight"),
    ("sd1", "processor", OUT, "up", f"unet.{DOTTED}.processor.to_out_lora.up.weight"),
    ("sd1", "processor", TEXT, "up", f"{ENCODER}.self_attn.to_q_lora.up.weight"),
    ("sd1", "layer", OUT, "up", f"unet.{DOTTED}.to_out.0.lora.up.weight"),
    ("sd1", "layer", TEXT, "down", f"{ENCODER}.self_attn.q_proj.lora_linear_layer.down.weight"),
    ("sdxl", "kohya", QUERY, "down", "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q.lora_down.weight"),
    ("sdxl", "kohya-diffusers", QUERY, "up", f"lora_unet_{UNDER}_to_q.lora_up.weight"),
    ("sd3", "onetrainer", JOINT, "up", "lora_transformer_transformer_blocks_0_attn_to_q.lora_up.weight"),
    ("sd3", "lycoris", JOINT, "up", "lycoris_transformer_blocks_0_attn_to_q.lora_up.weight"),
    ("sd3", "peft-model", JOINT, "up", "base_model.model.transformer_blocks.0.attn.to_q.lora_B.weight"),
    ("sd1", "lycoris", QUERY, "lokr_w1", f"lycoris_{UNDER}_to_q.lokr_w1"),
    ("flux", "lycoris", QKV, "lokr_w1", "lycoris_transformer_blocks_0_attn_to_q.lokr_w1"),
    ("sd3", "diffusers", JOINT, "up", "transformer.transformer_blocks.0.attn.to_q.lora_B.weight"),
    ("flux", "diffusers-flux", QKV, "down", "transformer.transformer_blocks.0.attn.to_q.lora_A.weight"),
    ("flux", "onetrainer", QKV, "down", "lora_transformer_transformer_blocks_0_attn_to_q.lora_down.weight"),
    ("flux", "onetrainer", TEXT, "up", "lora_te1_text_model_encoder_layers_1_self_attn_q_proj.lora_up.weight"),
    ("flux", "bare", QKV, "up", "double_blocks.0.img_attn.qkv.lora_B.weight"),
    ("sd1", "bare", QUERY, "up", f"{LDM}.to_q.lora_B.weight"),
    ("flux", "comfy", QKV, "diff_b", "diffusion_model.double_blocks.0.img_attn.qkv.diff_b"),
    ("flux", "comfy", TEXT, "up", f"text_encoders.clip_l.transformer.{TEXT}.lora_up.weight"),
    ("wan", "videox-fun", WAN_O, "up", "lora_unet__blocks_0_cross_attn_o.lora_up.weight"),
    ("sd1", "comfy", QUERY, "up", f"diffusion_model.{LDM}.to_q.lora_up.weight"),
    ("sd1", "ldm", QUERY, "alpha", "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q.alpha"),
    ("sd1", "peft-model", QUERY, "down", f"base_model.model.{DOTTED}.to_q.lora_A.weight"),
    ("flux", "peft-model", QKV, "down", "base_model.model.transformer_blocks.0.attn.to_q.lora_A.weight"),
    ("flux", "diffusers-flux-attention", QKV, "down", "transformer.transformer_blocks.0.attn.to_q.lora_A.weight"),
    ("sdxl", "kohya", TEXT_2, "alpha", "lora_te2_text_model_encoder_layers_30_self_attn_q_proj.alpha"),
    ("sdxl", "kohya", TEXT, "alpha", "lora_te1_text_model_encoder_layers_1_self_attn_q_proj.alpha"),
    ("sdxl", "comfy", TEXT_2, "alpha", f"text_encoders.clip_g.transformer.{TEXT_2}.alpha"),
    ("sd3", "peft", TEXT_T5, "alpha", f"text_encoder_3.{TEXT_T5}.alpha"),
    ("flux", "peft", TEXT_T5, "alpha", f"text_encoder_2.{TEXT_T5}.alpha"),
    ("flux", "kohya", TEXT_T5, "alpha", "lora_te3_encoder_block_0_layer_0_SelfAttention_q.alpha"),
    ("flux", "onetrainer", TEXT_T5, "alpha", "lora_te2_encoder_block_0_layer_0_SelfAttention_q.alpha"),
    ("sd1", "kohya", NORM, "diff", "lora_unet_down_blocks_0_attentions_0_norm.w_norm"),
    ("sd1", "kohya", NORM, "diff_b", "lora_unet_down_blocks_0_attentions_0_norm.b_norm"),
]  # fmt: skip


def target(architecture: str, name: str, shape: tuple[int, ...] | None = None) -> Target:
    return Target(
        architecture=architecture,
        group=GROUPS.get(name, "linear"),
        name=name,
        shape=shape or SHAPES[name],
        tensor=TENSORS.get(name, ""),
    )


@pytest.mark.parametrize(("architecture", "scheme", "name", "factor", "wanted"), NAMES)
def test_a_scheme_creates_the_names_that_files_have(
    architecture: str, scheme: str, name: str, factor: str, wanted: str
) -> None:
    key_scheme = SCHEMES[scheme]
    first = key_scheme.parts(target(architecture, name))[0]
    assert key_scheme.key(first, GROUPS.get(name, "linear"), factor) == wanted


def test_every_scheme_has_an_example() -> None:
    parts = {"diffusers-flux-qv", "diffusers-flux-q", "diffusers-flux-q-mlp", "lycoris-qv"}
    alone = {f"{names}-{part}-alone" for names in ("diffusers-flux", "lycoris") for part in (*"qkv", "mlp")}
    assert {scheme for _, scheme, *_ in NAMES} | parts | alone == set(SCHEMES)


@pytest.mark.parametrize(
    ("name", "shape", "wanted"),
    [
        (
            "double_blocks.3.img_attn.qkv",
            (768, 256),
            [
                ("transformer.transformer_blocks.3.attn.to_q", 0, 256),
                ("transformer.transformer_blocks.3.attn.to_k", 256, 512),
                ("transformer.transformer_blocks.3.attn.to_v", 512, 768),
            ],
        ),
        (
            "single_blocks.0.linear1",
            (1792, 256),
            [
                ("transformer.single_transformer_blocks.0.attn.to_q", 0, 256),
                ("transformer.single_transformer_blocks.0.attn.to_k", 256, 512),
                ("transformer.single_transformer_blocks.0.attn.to_v", 512, 768),
                ("transformer.single_transformer_blocks.0.proj_mlp", 768, 1792),
            ],
        ),
        (
            "single_blocks.0.linear2",
            (256, 1280),
            [("transformer.single_transformer_blocks.0.proj_out", 0, 256)],
        ),
        (
            "double_blocks.0.img_mlp.0",
            (1024, 256),
            [("transformer.transformer_blocks.0.ff.net.0.proj", 0, 1024)],
        ),
        (
            "double_blocks.0.img_mlp.2",
            (256, 1024),
            [("transformer.transformer_blocks.0.ff.net.2", 0, 256)],
        ),
        (
            "double_blocks.0.img_attn.proj",
            (256, 256),
            [("transformer.transformer_blocks.0.attn.to_out.0", 0, 256)],
        ),
        (
            "double_blocks.10.txt_attn.qkv",
            (768, 256),
            [
                ("transformer.transformer_blocks.10.attn.add_q_proj", 0, 256),
                ("transformer.transformer_blocks.10.attn.add_k_proj", 256, 512),
                ("transformer.transformer_blocks.10.attn.add_v_proj", 512, 768),
            ],
        ),
        (
            "double_blocks.0.txt_mod.lin",
            (1536, 256),
            [("transformer.transformer_blocks.0.norm1_context.linear", 0, 1536)],
        ),
        (
            "single_blocks.0.norm.key_norm",
            (128,),
            [("transformer.single_transformer_blocks.0.attn.norm_k", 0, 128)],
        ),
        ("final_layer.linear", (64, 256), [("transformer.proj_out", 0, 64)]),
    ],
)
def test_diffusers_names_the_rows_of_fused_matrices(
    name: str, shape: tuple[int, int], wanted: list[tuple[str, int, int]]
) -> None:
    parts = SCHEMES["diffusers-flux"].parts(target("flux", name, shape))
    assert [(part.stem, part.start, part.stop) for part in parts] == wanted


def test_diffusers_exchanges_the_halves_of_the_last_modulation_only() -> None:
    scheme = SCHEMES["diffusers-flux"]
    [swapped] = scheme.parts(target("flux", "final_layer.adaLN_modulation.1", (512, 256)))
    assert swapped == NamedRows(stem="transformer.norm_out.linear", start=0, stop=512, swapped=True)
    assert not any(part.swapped for part in scheme.parts(target("flux", QKV)))
    [original] = SCHEMES["comfy"].parts(target("flux", "final_layer.adaLN_modulation.1", (512, 256)))
    assert not original.swapped


def test_diffusers_flux_attention_has_no_mlp() -> None:
    scheme = SCHEMES["diffusers-flux-attention"]
    parts = scheme.parts(target("flux", "single_blocks.0.linear1", (1792, 256)))
    assert [part.stem.rpartition(".")[2] for part in parts] == ["to_q", "to_k", "to_v"]
    assert scheme.parts(target("flux", "double_blocks.0.img_mlp.0", (1024, 256))) == ()


def test_diffusers_flux_qv_has_no_keys() -> None:
    parts = SCHEMES["diffusers-flux-qv"].parts(target("flux", QKV))
    assert [(part.stem.rpartition(".")[2], part.start) for part in parts] == [("to_q", 0), ("to_v", 512)]


def test_diffusers_flux_q_has_only_queries() -> None:
    parts = SCHEMES["diffusers-flux-q"].parts(target("flux", QKV))
    assert [(part.stem.rpartition(".")[2], part.start, part.stop) for part in parts] == [("to_q", 0, 256)]


def test_diffusers_flux_q_mlp_leaves_a_gap_of_two_parts() -> None:
    parts = SCHEMES["diffusers-flux-q-mlp"].parts(target("flux", "single_blocks.0.linear1", (1792, 256)))
    assert [(part.stem.rpartition(".")[2], part.start) for part in parts] == [("to_q", 0), ("proj_mlp", 768)]


def test_lycoris_qv_has_no_keys() -> None:
    parts = SCHEMES["lycoris-qv"].parts(target("flux", QKV))
    assert [(part.stem, part.start) for part in parts] == [
        ("lycoris_transformer_blocks_0_attn_to_q", 0),
        ("lycoris_transformer_blocks_0_attn_to_v", 512),
    ]


def test_a_part_alone_is_one_part_of_fused_layers_only() -> None:
    text = "double_blocks.3.txt_attn.qkv"
    [key] = SCHEMES["diffusers-flux-k-alone"].parts(target("flux", text, (768, 256)))
    assert (key.stem, key.start) == ("transformer.transformer_blocks.3.attn.add_k_proj", 256)
    [value] = SCHEMES["lycoris-v-alone"].parts(target("flux", QKV))
    assert (value.stem, value.start) == ("lycoris_transformer_blocks_0_attn_to_v", 512)
    mlp = target("flux", "double_blocks.3.img_mlp.0", (1024, 256))
    assert SCHEMES["diffusers-flux-q-alone"].parts(mlp) == ()
    assert SCHEMES["lycoris-q-alone"].parts(target("sd1", QUERY)) == ()


@pytest.mark.parametrize(
    ("scheme", "architecture", "name"),
    [
        ("processor", "sd1", CONV),
        ("processor", "flux", QKV),
        ("layer", "flux", QKV),
        ("diffusers-flux", "sd1", QUERY),
        ("diffusers-flux", "flux", TEXT),
        ("lycoris", "sd1", TEXT),
    ],
)
def test_a_scheme_returns_no_part_for_a_target_that_it_cannot_name(
    scheme: str, architecture: str, name: str
) -> None:
    assert SCHEMES[scheme].parts(target(architecture, name)) == ()


def test_a_scheme_knows_which_kinds_it_can_name() -> None:
    named = {
        name: {k for k, kind in KINDS.items() if scheme.can_name(kind)} for name, scheme in SCHEMES.items()
    }
    for scheme in ("kohya", "lycoris", "onetrainer", "comfy", "ldm"):
        assert named[scheme] == set(KINDS)
    assert named["bare"] == named["peft-model"] == named["peft"]
    assert named["peft"] == named["diffusers-flux"] == {"lora", "dora", "dora-in", "diff-b"}
    assert named["peft-default"] == named["processor"] == named["layer"] == {"lora"}


def test_files_of_old_diffusers_have_no_alpha() -> None:
    without = {name for name, scheme in SCHEMES.items() if not scheme.has_alpha}
    assert without == {"peft-default", "processor", "layer"}


def test_names_longer_than_the_64_bytes_of_ggml_occur() -> None:
    adapter = Adapter(name="x", base="x")
    lengths = [len(part.key("down").encode()) for part in target_parts(adapter, SD1_TINY)]
    assert max(lengths) > 64


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_name_occurs_twice(scheme: str) -> None:
    for base in (FLUX_SMALL, SD1_TINY):
        groups = ("linear", "conv1x1", "conv3x3", "text")
        adapter = Adapter(name="x", base="x", scheme=scheme, targets=groups)
        keys = [part.key("down") for part in target_parts(adapter, base)]
        assert len(set(keys)) == len(keys)


def test_a_fused_matrix_of_a_text_encoder_has_three_parts() -> None:
    fused = Target(
        architecture="sdxl",
        group="text-2",
        name="text_model.encoder.layers.30.self_attn.in_proj",
        shape=(3840, 1280),
    )
    found = SCHEMES["kohya"].parts(fused)
    assert [(part.stem, part.start, part.stop) for part in found] == [
        ("lora_te2_text_model_encoder_layers_30_self_attn_q_proj", 0, 1280),
        ("lora_te2_text_model_encoder_layers_30_self_attn_k_proj", 1280, 2560),
        ("lora_te2_text_model_encoder_layers_30_self_attn_v_proj", 2560, 3840),
    ]
    [first, *_] = SCHEMES["peft"].parts(fused)
    assert first.stem == "text_encoder_2.text_model.encoder.layers.30.self_attn.q_proj"


def test_the_mlp_alone_is_the_last_part_of_a_single_block() -> None:
    [mlp] = SCHEMES["diffusers-flux-mlp-alone"].parts(target("flux", "single_blocks.2.linear1", (1792, 256)))
    assert (mlp.stem, mlp.start, mlp.stop) == ("transformer.single_transformer_blocks.2.proj_mlp", 768, 1792)
    assert SCHEMES["lycoris-mlp-alone"].parts(target("flux", QKV)) == ()
