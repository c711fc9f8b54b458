from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.converter.modules import layout_of
from harness.formats.read import read_tensors
from harness.own_model.likeness import ModuleGroup, groups
from harness.own_model.scheme import FLUX
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


def test_a_family_without_cases_has_no_base_model(tmp_path: Path) -> None:
    [group] = of(peft(tmp_path / "a.safetensors", "transformer.transformer_blocks.0.attn.to_q"), "Wan")
    assert group.base == ""


def test_a_second_text_encoder_is_that_of_sdxl(tmp_path: Path) -> None:
    [second] = of(peft(tmp_path / "a.safetensors", "text_encoder_2.text_model.encoder.layers.0.mlp.fc1"))
    assert second.base == "sdxl"
    [t5] = of(peft(tmp_path / "a.safetensors", "lora_te3_encoder_block_0_layer_0_SelfAttention_q"))
    assert t5.base == ""


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
