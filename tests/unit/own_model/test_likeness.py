from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.converter import model_family
from harness.converter.modules import layout_of
from harness.formats.read import read_tensors
from harness.models.families.catalogue import FAMILIES
from harness.models.tiny_models import FLUX_SMALL
from harness.own_model.likeness import BASES, ModuleGroup, groups
from harness.own_model.scheme import CHROMA, FLUX, SD3
from tests.unit.converter.lora_files import pair, save
from tests.unit.own_model.own_files import KOHYA, lora, peft


def of(path: Path, family: str = FLUX, kinds: dict[str, str] | None = None) -> list[ModuleGroup]:
    file = read_tensors(path)
    return groups(layout_of(file), file.container, family, kinds or {})


def names(path: Path, family: str = FLUX, kinds: dict[str, str] | None = None) -> list[str]:
    return [case.name for group in of(path, family, kinds) for case in group.cases]


def test_a_lora_of_flux_is_like_the_cases_of_its_layers_and_of_its_type(tmp_path: Path) -> None:
    [group] = of(lora(tmp_path / "a.gguf"))
    assert [case.name for case in group.cases] == ["layers-img-kohya-safetensors-F32", "lora-gguf-F32"]
    assert group.cases[0].about_names
    assert group.cases[1].dimensions["base"] == "flux-small"


def test_modules_that_are_like_the_same_cases_are_one_group(tmp_path: Path) -> None:
    other = "lora_unet_double_blocks_1_img_attn_proj"
    both = pair(out=192, inner=64, key=KOHYA) | pair(out=64, inner=64, key=other)
    [group] = of(save(tmp_path / "a.safetensors", both))
    assert (group.count, group.scheme, group.base) == (2, "kohya", "flux-small")


def test_groups_of_layers(tmp_path: Path) -> None:
    found = {
        key: names(peft(tmp_path / "a.safetensors", key))[0]
        for key in (
            "transformer.norm_out.linear",
            "diffusion_model.img_in",
            "diffusion_model.txt_in",
            "transformer.single_transformer_blocks.0.proj_out",
            "text_encoder.text_model.encoder.layers.0.mlp.fc1",
        )
    }
    assert list(found.values()) == [
        "layers-final-modulation-diffusers-flux-safetensors-F32",
        "layers-outer-comfy-safetensors-F32",
        "layers-txt-in-biases-comfy-safetensors-F32",
        "layers-single-diffusers-flux-safetensors-F32",
        "layers-text-peft-safetensors-F32",
    ]


def test_pieces_of_a_fused_layer(tmp_path: Path) -> None:
    prefix = "transformer.single_transformer_blocks.0.attn.to_"

    def schemes(*parts: str) -> set[str]:
        tensors = {}
        for part in parts:
            tensors[f"{prefix}{part}.lora_A.weight"] = np.ones((8, 64), np.float32)
            tensors[f"{prefix}{part}.lora_B.weight"] = np.ones((64, 8), np.float32)
        path = save(tmp_path / "a.safetensors", tensors)
        return {case.dimensions["scheme"] for group in of(path) for case in group.cases}

    assert schemes("q") == {"diffusers-flux", "diffusers-flux-q"}
    assert schemes("q", "v") == {"diffusers-flux", "diffusers-flux-qv"}
    assert schemes("q", "k", "v") == {"diffusers-flux", "diffusers-flux-attention"}


def test_the_type_of_the_weight_is_that_of_a_case(tmp_path: Path) -> None:
    path = lora(tmp_path / "a.safetensors")
    assert "base-Q4_K-safetensors-F32" in names(path, kinds={KOHYA: "Q4_K"})
    assert "base-F8_E4M3-safetensors-F32" not in names(path, kinds={KOHYA: "F8_E4M3"})


def test_a_lora_of_a_unet(tmp_path: Path) -> None:
    key = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    path = lora(tmp_path / "a.safetensors", key=key, out=64, rank=1)
    assert names(path, "Stable Diffusion 1.x") == [
        "layers-attentions-kohya-safetensors-F32",
        "lora-r1-safetensors-F32",
    ]


def test_every_base_model_exists_and_has_the_family_that_it_stands_for() -> None:
    known = {FLUX_SMALL.name: FLUX_SMALL, **FAMILIES}
    for family, (base, _) in BASES.items():
        shapes = {name: weight.shape for name, weight in known[base].files["model"].items()}
        assert model_family.of_model(shapes) == family


@pytest.mark.parametrize(
    ("key", "family", "case"),
    [
        ("transformer.blocks.0.attn1.to_q", "Wan", ("wan", "diffusers", "linear")),
        ("lora_unet__blocks_0_self_attn_q", "Wan", ("wan", "videox-fun", "linear")),
        ("diffusion_model.blocks.0.self_attn.q", "Wan", ("wan", "peft", "linear")),
        ("lora_unet_distilled_guidance_layer_in_proj", CHROMA, ("chroma", "kohya", "outer")),
        ("transformer.transformer_blocks.0.attn.to_q", CHROMA, ("chroma", "diffusers-flux", "linear")),
        ("transformer.norm_out.linear", SD3, ("sd3", "diffusers", "outer")),
        ("lora_te1_text_model_encoder_layers_0_mlp_fc1", SD3, ("sd3-all", "kohya", "text")),
        ("lora_te2_text_model_encoder_layers_0_mlp_fc1", SD3, ("sd3-all", "kohya", "text-2")),
        ("lora_te3_encoder_block_0_layer_0_SelfAttention_q", SD3, ("sd3", "kohya", "text-t5")),
        ("lora_te2_encoder_block_0_layer_0_SelfAttention_q", FLUX, ("flux-guided", "onetrainer", "text-t5")),
        ("text_encoder_2.text_model.encoder.layers.0.mlp.fc1", "SDXL", ("sdxl", "peft", "text-2")),
    ],
)
def test_the_cases_of_a_family(tmp_path: Path, key: str, family: str, case: tuple[str, str, str]) -> None:
    write = lora if key.startswith("lora_") else peft
    [group] = of(write(tmp_path / "a.safetensors", key), family)
    assert (group.base, group.scheme, group.cases[-1].dimensions["targets"]) == case


def test_an_unknown_family_has_no_base_model(tmp_path: Path) -> None:
    [group] = of(peft(tmp_path / "a.safetensors", "transformer.transformer_blocks.0.attn.to_q"), "LTX")
    assert group.base == ""


def test_types_of_no_case_are_like_none(tmp_path: Path) -> None:
    tensors = {name: a.astype(np.float64) for name, a in pair(out=192, inner=64, key=KOHYA).items()}
    [group] = of(save(tmp_path / "a.safetensors", tensors))
    assert group.base == ""


def test_kernels_of_a_linear_layer(tmp_path: Path) -> None:
    axes = {"lora_down.weight": (8, 64, 1, 1), "lora_up.weight": (192, 8, 1, 1)}
    kernels = {f"{KOHYA}.{part}": np.ones(shape, np.float32) for part, shape in axes.items()}
    assert "lora-kernels-safetensors-F32" in names(save(tmp_path / "a.safetensors", kernels))
    query = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    unet = {name.replace(KOHYA, query): array for name, array in kernels.items()}
    assert "lora-kernels-safetensors-F32" in names(
        save(tmp_path / "b.safetensors", unet), "Stable Diffusion 1.x"
    )
    convolution = {
        name.replace(KOHYA, "lora_unet_down_blocks_0_attentions_0_proj_in"): array
        for name, array in kernels.items()
    }
    assert "lora-kernels-safetensors-F32" not in names(
        save(tmp_path / "c.safetensors", convolution), "Stable Diffusion 1.x"
    )
