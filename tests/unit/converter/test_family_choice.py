from __future__ import annotations

from pathlib import Path

import pytest

from harness.converter.family_choice import candidates, shared_names, unclear
from harness.converter.modules import Layout, layout_of
from harness.formats.read import read_tensors
from harness.layers.flux import FLUX
from harness.layers.other_transformers import QWEN_IMAGE
from harness.layers.sd3 import SD3
from tests.unit.converter.lora_files import pair, save

BLOCK = "transformer.transformer_blocks.0"


def layout(folder: Path, *keys: str) -> Layout:
    arrays = {name: value for key in keys for name, value in pair(key=key).items()}
    return layout_of(read_tensors(save(folder / "a.safetensors", arrays)))


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        ((f"{BLOCK}.attn.to_q",), ["Flux.1", "SD 3", "Qwen-Image", "Krea 2"]),
        ((f"{BLOCK}.attn.to_q", f"{BLOCK}.ff.net.2"), ["Flux.1", "SD 3", "Ovis-Image"]),
        ((f"{BLOCK}.attn.to_q", "transformer.single_transformer_blocks.0.proj_mlp"), ["Flux.1"]),
        ((f"{BLOCK}.attn.to_q", "transformer.pos_embed.proj"), ["SD 3"]),
        (("lora_unet_double_blocks_0_img_attn_proj",), ["Flux.1"]),
        (("lora_unet_down_blocks_0_attentions_0_proj_in",), ["SD 1, SD 2 or SDXL"]),
        (("lora_te_text_model_encoder_layers_0_mlp_fc1",), []),
    ],
)
def test_the_families_that_names_fit(tmp_path: Path, keys: tuple[str, ...], names: list[str]) -> None:
    assert [family.name for family in candidates(layout(tmp_path, *keys))] == names


def test_what_to_do_about_several_families() -> None:
    assert unclear((FLUX, SD3)) == "its names fit Flux.1 and SD 3: add --base-model MODEL"


def test_names_that_are_the_same_in_several_families(tmp_path: Path) -> None:
    modules = layout(
        tmp_path, f"{BLOCK}.attn.to_k", f"{BLOCK}.ff.net.2", "transformer.norm_out.linear"
    ).modules
    key, mlp, halves = (shared_names(module, (FLUX, SD3, QWEN_IMAGE)) for module in modules.values())
    assert [(name.text, name.take) for name in key] == [
        (f"transformer_blocks.0.attn.to_{part}", (index,)) for index, part in enumerate("qkv")
    ]
    assert [name.text for name in mlp] == ["transformer_blocks.0.ff.net.2"]
    assert halves == ()
