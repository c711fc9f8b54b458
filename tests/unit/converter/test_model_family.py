from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.converter import model_family
from harness.converter.modules import layout_of
from harness.formats.read import read_tensors
from tests.unit.converter.lora_files import Arrays, save

U = "model.diffusion_model."
SOME_UNET = "Stable Diffusion 1.x, 2.x or SDXL"
CROSS = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"


def peft(key: str, out: int = 64, inner: int = 64) -> Arrays:
    return {
        f"{key}.lora_A.weight": np.ones((8, inner), np.float32),
        f"{key}.lora_B.weight": np.ones((out, 8), np.float32),
    }


#: The key of a module and the number of its inputs, and the families that it may be for.
ADAPTERS = {
    "SD 1": ((CROSS, 768), ("Stable Diffusion 1.x",)),
    "SD 2": ((CROSS, 1024), ("Stable Diffusion 2.x",)),
    "SDXL": ((CROSS, 2048), ("SDXL",)),
    "SDXL by its blocks": ((CROSS.replace("blocks.0.attn2", "blocks.9.attn1"), 640), ("SDXL",)),
    "some UNet": ((CROSS.replace("attn2", "attn1"), 320), (SOME_UNET,)),
    "FLUX": (("transformer.single_transformer_blocks.0.proj_mlp", 64), ("FLUX.1",)),
    "FLUX, kohya": (("lora_unet_double_blocks_0_img_attn_qkv", 64), ("FLUX.1",)),
    "Wan": (("diffusion_model.blocks.0.self_attn.q", 64), ("Wan",)),
    "Z-Image": (("lora_unet_layers_0_attention_to_q", 64), ("Z-Image",)),
    "unknown": (("lora_unet_something_else", 64), ()),
}
MODELS = {
    "Stable Diffusion 1.x": {U + "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 768)},
    "SDXL": {U + "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (640, 2048)},
    SOME_UNET: {U + "input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight": (320, 320)},
    "FLUX.1": {U + "double_blocks.0.img_attn.qkv.weight": (192, 64)},
    "Stable Diffusion 3": {U + "joint_blocks.0.x_block.attn.qkv.weight": (192, 64)},
    "": {"weight": (4, 4)},
}


@pytest.mark.parametrize("name", ADAPTERS)
def test_the_family_of_an_adapter(tmp_path: Path, name: str) -> None:
    (key, inner), expected = ADAPTERS[name]
    file = read_tensors(save(tmp_path / "a.safetensors", peft(key, inner=inner)))
    assert model_family.of_adapter(layout_of(file)) == expected


def test_the_second_text_encoder_is_that_of_sdxl(tmp_path: Path) -> None:
    arrays = peft(CROSS.replace("attn2", "attn1")) | peft(
        "text_encoder_2.text_model.encoder.layers.0.mlp.fc1"
    )
    file = read_tensors(save(tmp_path / "a.safetensors", arrays))
    assert model_family.of_adapter(layout_of(file)) == ("SDXL",)


@pytest.mark.parametrize("name", MODELS)
def test_the_family_of_a_model(name: str) -> None:
    assert model_family.of_model(MODELS[name]) == name


@pytest.mark.parametrize(
    ("adapter", "model", "said"),
    [
        ("FLUX", "Stable Diffusion 1.x", "a LoRA for FLUX.1; the model is Stable Diffusion 1.x"),
        ("SDXL", "Stable Diffusion 1.x", "a LoRA for SDXL; the model is Stable Diffusion 1.x"),
        ("SD 1", "FLUX.1", "a LoRA for Stable Diffusion 1.x; the model is FLUX.1"),
        ("SD 1", "Stable Diffusion 1.x", ""),
        ("some UNet", "SDXL", ""),
        ("SD 1", SOME_UNET, ""),
        ("unknown", "SDXL", ""),
        ("FLUX", "", ""),
    ],
)
def test_a_mismatch_is_told_if_both_are_known(tmp_path: Path, adapter: str, model: str, said: str) -> None:
    (key, inner), _ = ADAPTERS[adapter]
    file = read_tensors(save(tmp_path / "a.safetensors", peft(key, inner=inner)))
    assert model_family.mismatch(layout_of(file), MODELS[model]) == said


def test_an_adapter_of_flux_may_be_for_its_relatives(tmp_path: Path) -> None:
    """The names of a Flux LoRA are layers of Chroma and HunyuanVideo too; Chroma's own layers are in no other."""
    flux = {f"{U}double_blocks.0.img_attn.qkv.weight": (192, 64)}
    chroma = {**flux, f"{U}distilled_guidance_layer.in_proj.weight": (64, 64)}
    video = {**flux, f"{U}txt_in.individual_token_refiner.blocks.0.self_attn.qkv.weight": (192, 64)}
    qkv, guidance = (
        layout_of(read_tensors(save(tmp_path / f"{index}.safetensors", peft(f"diffusion_model.{layer}"))))
        for index, layer in enumerate(("double_blocks.0.img_attn.qkv", "distilled_guidance_layer.in_proj"))
    )
    assert not any(model_family.mismatch(qkv, model) for model in (flux, chroma, video))
    assert not model_family.mismatch(guidance, chroma)
    assert model_family.mismatch(guidance, flux) == "a LoRA for Chroma; the model is FLUX.1"
    assert model_family.mismatch(guidance, video) == "a LoRA for Chroma; the model is HunyuanVideo"
