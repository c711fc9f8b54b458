from __future__ import annotations

from pathlib import Path

import pytest

from harness.converter.combined_layers import CombinedLayers, Source, combined_layers
from harness.converter.modules import layout_of
from harness.formats.read import read_tensors
from sdcpp.errors import AdapterUnknown
from tests.unit.converter.lora_files import Arrays, save
from tests.unit.converter.rewritten_tensors import draw

SUFFIXES = {"kohya": (".lora_down.weight", ".lora_up.weight"), "peft": (".lora_A.weight", ".lora_B.weight")}


def source(path: Path, names: dict[str, tuple[int, int]], by: str = "kohya") -> Source:
    """Return a file with a LoRA of rank 2 for each name of a layer [out, inner]."""
    down, up = SUFFIXES.get(by, ("_lora.down.weight", "_lora.up.weight"))
    arrays: Arrays = {}
    for name, (out, inner) in names.items():
        arrays |= {name + down: draw(2, inner), name + up: draw(out, 2)}
    file = read_tensors(save(path, arrays))
    return Source(file=file, layout=layout_of(file), multiplier=1.0)


def texts(found: CombinedLayers) -> list[list[str]]:
    return [[name.text for name in found.targets(group)] for group in found.groups]


FUSED = {
    "lora_unet_double_blocks_0_img_attn_qkv": (12, 4),
    "lora_te1_text_model_encoder_layers_0_mlp_fc1": (4, 4),
}
PIECES = {f"transformer.transformer_blocks.0.attn.to_{part}": (4, 4) for part in "qkv"} | {
    "transformer.proj_out": (4, 4)
}


@pytest.mark.parametrize("first", [0, 1])
def test_layers_are_paired_and_named_as_in_the_first_file(tmp_path: Path, first: int) -> None:
    files = [source(tmp_path / "a.safetensors", FUSED), source(tmp_path / "b.safetensors", PIECES, "peft")]
    found = combined_layers(files if first == 0 else files[::-1])
    if first == 0:
        assert found.scheme == "kohya"
        assert texts(found) == [
            ["lora_unet_double_blocks_0_img_attn_qkv"],
            ["lora_te1_text_model_encoder_layers_0_mlp_fc1"],
            ["lora_unet_final_layer_linear"],
        ]
    else:
        assert (found.scheme, found.names.folded) == ("diffusers", True)
        assert texts(found) == [
            [f"transformer.transformer_blocks.0.attn.to_{part}" for part in "qkv"],
            ["transformer.proj_out"],
            ["text_encoder.text_model.encoder.layers.0.mlp.fc1"],
        ]


def test_names_that_no_scheme_has_are_kept(tmp_path: Path) -> None:
    old = {
        f"unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_{x}": (4, 4) for x in "qk"
    }
    files = [source(tmp_path / f"{n}.safetensors", old, "old") for n in "ab"]
    found = combined_layers(files)
    assert found.scheme == ""
    assert [text for [text] in texts(found)] == list(old)
    assert found.names.suffixes["down"] == "_lora.down.weight"


def test_rows_without_a_name(tmp_path: Path) -> None:
    def unprefixed(*parts: str) -> dict[str, tuple[int, int]]:
        return {f"base_model.model.transformer_blocks.0.attn.to_{part}": (4, 4) for part in parts}

    a = source(tmp_path / "a.safetensors", unprefixed("q"), "peft")
    b = source(tmp_path / "b.safetensors", unprefixed("q", "k"), "peft")
    found = combined_layers([b, a])
    assert texts(found) == [list(unprefixed("q", "k"))]
    found = combined_layers([a, source(tmp_path / "c.safetensors", FUSED)])
    with pytest.raises(AdapterUnknown, match="no name for some rows"):
        texts(found)


def test_a_requested_scheme_names_every_layer(tmp_path: Path) -> None:
    strange = {"lora_unet_nowhere": (4, 4)}
    found = combined_layers([source(tmp_path / "a.safetensors", FUSED | strange)], "comfy")
    assert found.targets(found.groups[0])[0].text == "diffusion_model.double_blocks.0.img_attn.qkv"
    with pytest.raises(AdapterUnknown, match="comfy has no name"):
        found.targets(found.groups[2])


def test_names_of_several_families(tmp_path: Path) -> None:
    unclear = {"transformer.transformer_blocks.0.attn.to_q": (4, 4)}
    a = source(tmp_path / "a.safetensors", unclear, "peft")
    assert texts(combined_layers([a])) == [[*PIECES][:3]]
    with pytest.raises(AdapterUnknown, match="add --base-model MODEL"):
        texts(combined_layers([a], "kohya"))
