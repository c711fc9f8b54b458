from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from harness.converter.naming import SCHEMES
from harness.converter.renaming import renamed
from harness.converter.rewriting import Rewriting
from harness.formats.read import read_tensors
from harness.layers.flux import FLUX
from harness.layers.layer import Family
from harness.layers.sd3 import SD3
from tests.unit.converter.lora_files import Arrays, save
from tests.unit.converter.rewritten_tensors import F64, close, delta, draw, product, stored

#: The names of layers of Flux.1 in each scheme, with the rows of each piece. The hidden size is 8.
QKV = {
    "kohya": {"lora_unet_double_blocks_2_txt_attn_qkv": 24},
    "comfy": {"diffusion_model.double_blocks.2.txt_attn.qkv": 24},
    "diffusers": {f"transformer.transformer_blocks.2.attn.add_{part}_proj": 8 for part in "qkv"},
    "onetrainer": {f"lora_transformer_transformer_blocks_2_attn_add_{part}_proj": 8 for part in "qkv"},
}
LINEAR1 = {
    "kohya": {"lora_unet_single_blocks_0_linear1": 56},
    "comfy": {"diffusion_model.single_blocks.0.linear1": 56},
    "diffusers": {
        **{f"transformer.single_transformer_blocks.0.attn.to_{part}": 8 for part in "qkv"},
        "transformer.single_transformer_blocks.0.proj_mlp": 32,
    },
    "onetrainer": {
        **{f"lora_transformer_single_transformer_blocks_0_attn_to_{part}": 8 for part in "qkv"},
        "lora_transformer_single_transformer_blocks_0_proj_mlp": 32,
    },
}
MODULATION = {
    "kohya": {"lora_unet_final_layer_adaLN_modulation_1": 16},
    "comfy": {"diffusion_model.final_layer.adaLN_modulation.1": 16},
    "diffusers": {"transformer.norm_out.linear": 16},
    "onetrainer": {"lora_transformer_norm_out_linear": 16},
}
#: The schemes that exchange the halves of the modulation.
SWAPPED = ("diffusers", "onetrainer")
TEXT = "text_model.encoder.layers.3.self_attn.q_proj"
TEXTS = {
    "kohya": f"lora_te1_{TEXT.replace('.', '_')}",
    "comfy": f"text_encoders.clip_l.transformer.{TEXT}",
    "diffusers": f"text_encoder.{TEXT}",
    "onetrainer": f"lora_te1_{TEXT.replace('.', '_')}",
}
#: A layer of a UNet in each scheme.
QUERY = "transformer_blocks.0.attn1.to_out.0"
UNET = {
    "kohya": f"lora_unet_down_blocks_1_attentions_0_{QUERY.replace('.', '_')}",
    "comfy": f"diffusion_model.input_blocks.4.1.{QUERY}",
    "diffusers": f"unet.down_blocks.1.attentions.0.{QUERY}",
    "onetrainer": f"lora_unet_down_blocks_1_attentions_0_{QUERY.replace('.', '_')}",
}


def rename(folder: Path, arrays: Arrays, scheme: str, family: Family | None = None) -> Rewriting:
    """Give arrays the names of a scheme and write the file out.safetensors."""
    found = renamed(read_tensors(save(folder / "in.safetensors", arrays)), scheme, family)
    found.write(folder / "out.safetensors")
    return found


def pair(key: str, rows: int, rank: int = 4, inner: int = 8) -> tuple[Arrays, F64]:
    """Return a LoRA with an alpha of 1 under a key, and its ΔW."""
    down, up = draw(rank, inner), draw(rows, rank)
    names = (".lora_A.weight", ".lora_B.weight") if "." in key else (".lora_down.weight", ".lora_up.weight")
    arrays: Arrays = dict(zip((key + name for name in names), (down, up), strict=True))
    return arrays | {f"{key}.alpha": np.array(1, np.float32)}, product(up, down) / rank


def change(tensors: dict[str, F64], pieces: dict[str, int]) -> F64:
    """Return the ΔW of a layer in pieces, from top to bottom."""
    return np.concatenate([delta(tensors, key, (rows, 8)) for key, rows in pieces.items()])


@pytest.mark.parametrize(("old", "new"), list(permutations(SCHEMES, 2)))
def test_a_lora_of_flux_has_the_same_change_under_every_name(tmp_path: Path, old: str, new: str) -> None:
    wanted: dict[int, F64] = {}
    arrays: Arrays = {}
    for number, layer in enumerate((QKV, LINEAR1, MODULATION)):
        parts = [pair(key, rows) for key, rows in layer[old].items()]
        wanted[number] = np.concatenate([own for _, own in parts])
        for tensors, _ in parts:
            arrays |= tensors
    text, of_text = pair(TEXTS[old], 8)
    found = rename(tmp_path, arrays | text, new)
    tensors = stored(tmp_path / "out.safetensors")
    swapped = (old in SWAPPED) != (new in SWAPPED)
    wanted[2] = np.roll(wanted[2], 8, axis=0) if swapped else wanted[2]
    for number, layer in enumerate((QKV, LINEAR1, MODULATION)):
        assert close(change(tensors, layer[new]), wanted[number]), number
    assert close(delta(tensors, TEXTS[new], (8, 8)), of_text)
    keys = {*QKV[new], *LINEAR1[new], *MODULATION[new], TEXTS[new]}
    assert all(any(name.startswith(f"{key}.") for key in keys) for name in tensors)
    assert not found.refused


def test_the_pieces_of_a_fused_lora_share_the_second_factor_when_they_are_fused_again(tmp_path: Path) -> None:
    (key,) = QKV["kohya"]
    arrays, wanted = pair(key, 24)
    rename(tmp_path, arrays, "diffusers")
    again = stored(tmp_path / "out.safetensors")
    for piece in QKV["diffusers"]:
        assert np.array_equal(again[f"{piece}.lora_A.weight"], arrays[f"{key}.lora_down.weight"])
    rename(tmp_path, {name: value.astype(np.float32) for name, value in again.items()}, "kohya", FLUX)
    back = stored(tmp_path / "out.safetensors")
    assert back[f"{key}.lora_down.weight"].shape == (4, 8)
    assert close(delta(back, key, (24, 8)), wanted)


def test_different_factors_of_pieces_become_block_diagonal(tmp_path: Path) -> None:
    parts = [
        pair(key, rows, rank) for (key, rows), rank in zip(QKV["diffusers"].items(), (2, 3, 4), strict=True)
    ]
    rename(tmp_path, parts[0][0] | parts[1][0] | parts[2][0], "comfy", FLUX)
    tensors = stored(tmp_path / "out.safetensors")
    (key,) = QKV["comfy"]
    up = tensors[f"{key}.lora_B.weight"]
    assert up.shape == (24, 9)
    assert not up[:8, 2:].any()
    assert close(delta(tensors, key, (24, 8)), np.concatenate([wanted for _, wanted in parts]))


def test_the_bytes_of_a_pair_are_kept_if_only_its_name_changes(tmp_path: Path) -> None:
    key = "diffusion_model.double_blocks.0.img_mod.lin"
    down, up = draw(4, 8).astype(np.float16), draw(48, 4).astype(np.float16)
    rename(tmp_path, {f"{key}.lora_A.weight": down, f"{key}.lora_B.weight": up}, "kohya")
    tensors = read_tensors(tmp_path / "out.safetensors").tensors
    name = "lora_unet_double_blocks_0_img_mod_lin"
    assert tensors[f"{name}.lora_down.weight"].raw().tobytes() == down.tobytes()
    assert tensors[f"{name}.lora_up.weight"].raw().tobytes() == up.tobytes()
    assert tensors[f"{name}.alpha"].values() == 4


def test_diffusers_has_no_alpha_so_the_second_factor_is_scaled(tmp_path: Path) -> None:
    arrays, _ = pair(UNET["kohya"], 24)
    halves = {name: value.astype(np.float16) for name, value in arrays.items()}
    rename(tmp_path, halves, "diffusers")
    tensors = read_tensors(tmp_path / "out.safetensors").tensors
    assert set(tensors) == {f"{UNET['diffusers']}.lora_A.weight", f"{UNET['diffusers']}.lora_B.weight"}
    up = halves[f"{UNET['kohya']}.lora_up.weight"].astype(np.float64)
    assert np.array_equal(tensors[f"{UNET['diffusers']}.lora_B.weight"].values(), up / 4)


def test_the_factors_of_pieces_with_one_scale_keep_their_type_and_values(tmp_path: Path) -> None:
    arrays: Arrays = {}
    for key in QKV["onetrainer"]:
        arrays |= {name: value.astype(np.float16) for name, value in pair(key, 8, 3)[0].items()}
    rename(tmp_path, arrays, "kohya", FLUX)
    (key,) = QKV["kohya"]
    tensors = read_tensors(tmp_path / "out.safetensors").tensors
    up = tensors[f"{key}.lora_up.weight"]
    assert up.kind == "F16"
    for index, piece in enumerate(QKV["onetrainer"]):
        own = slice(8 * index, 8 * index + 8), slice(3 * index, 3 * index + 3)
        assert np.array_equal(up.values()[own], arrays[f"{piece}.lora_up.weight"])
    # The scale is 1/3, and the rank 9.
    assert tensors[f"{key}.alpha"].values() == 3


@pytest.mark.parametrize(("old", "new"), list(permutations(SCHEMES, 2)))
def test_a_lora_of_a_unet(tmp_path: Path, old: str, new: str) -> None:
    arrays, wanted = pair(UNET[old], 24)
    rename(tmp_path, arrays, new)
    assert close(delta(stored(tmp_path / "out.safetensors"), UNET[new], (24, 8)), wanted)


def test_sd_scripts_has_published_names_for_sdxl(tmp_path: Path) -> None:
    old = "unet.mid_block.attentions.0.transformer_blocks.4.attn2.to_k"
    down, up = draw(4, 2048), draw(8, 4)
    rename(tmp_path, {f"{old}.lora_A.weight": down, f"{old}.lora_B.weight": up}, "kohya")
    new = "lora_unet_middle_block_1_transformer_blocks_4_attn2_to_k"
    assert close(delta(stored(tmp_path / "out.safetensors"), new, (8, 2048)), product(up, down))


@pytest.mark.parametrize("kind", ["loha", "lokr", "diff"])
def test_other_kinds_can_be_divided(tmp_path: Path, kind: str) -> None:
    (key,) = QKV["comfy"]
    arrays: Arrays = {
        "loha": {
            f"{key}.hada_w1_a": draw(24, 2),
            f"{key}.hada_w1_b": draw(2, 8),
            f"{key}.hada_w2_a": draw(24, 2),
            f"{key}.hada_w2_b": draw(2, 8),
            f"{key}.alpha": np.array(1, np.float32),
        },
        "lokr": {f"{key}.lokr_w1": draw(6, 2), f"{key}.lokr_w2": draw(4, 4)},
        "diff": {f"{key}.diff": draw(24, 8)},
    }[kind]
    rename(tmp_path, arrays, "diffusers")
    doubled = {name: value.astype(np.float64) for name, value in arrays.items()}
    wanted = delta(doubled, key, (24, 8))
    assert close(change(stored(tmp_path / "out.safetensors"), QKV["diffusers"]), wanted)


def test_a_dora_is_renamed_with_its_magnitudes(tmp_path: Path) -> None:
    old, new = "lora_unet_double_blocks_0_img_attn_proj", "transformer.transformer_blocks.0.attn.to_out.0"
    arrays, wanted = pair(old, 24)
    magnitudes = draw(24, 1)
    rename(tmp_path, arrays | {f"{old}.dora_scale": magnitudes}, "diffusers")
    tensors = stored(tmp_path / "out.safetensors")
    assert np.array_equal(tensors[f"{new}.lora_magnitude_vector"], magnitudes[:, 0])
    assert close(delta(tensors, new, (24, 8)), wanted)
    rename(tmp_path, {name: value.astype(np.float32) for name, value in tensors.items()}, "kohya", FLUX)
    assert np.array_equal(stored(tmp_path / "out.safetensors")[f"{old}.dora_scale"], magnitudes)


def test_the_base_model_tells_families_with_the_same_names_apart(tmp_path: Path) -> None:
    old = "transformer.transformer_blocks.0.ff.net.2"
    arrays, wanted = pair(old, 24)
    (refusal,) = rename(tmp_path, arrays, "comfy").refused
    assert refusal.reason == "its names fit Flux.1, SD 3, Ovis-Image, Anima and LTX: add --base-model MODEL"
    assert not rename(tmp_path, arrays, "onetrainer").refused
    for family, new in ((FLUX, "double_blocks.0.img_mlp.2"), (SD3, "joint_blocks.0.x_block.mlp.fc2")):
        rename(tmp_path, arrays, "comfy", family)
        assert close(delta(stored(tmp_path / "out.safetensors"), f"diffusion_model.{new}", (24, 8)), wanted)


def test_a_dora_cannot_be_divided(tmp_path: Path) -> None:
    (key,) = QKV["kohya"]
    arrays, _ = pair(key, 24)
    (refusal,) = rename(tmp_path, arrays | {f"{key}.dora_scale": draw(24, 1)}, "diffusers").refused
    assert "DoRA" in refusal.reason


def test_biases_have_the_name_of_the_scheme(tmp_path: Path) -> None:
    (key,) = QKV["kohya"]
    arrays, _ = pair(key, 24)
    bias = draw(24)
    rename(tmp_path, arrays | {f"{key}.lora_up.bias": bias}, "diffusers")
    tensors = stored(tmp_path / "out.safetensors")
    found = np.concatenate([tensors[f"{piece}.lora_B.bias"] for piece in QKV["diffusers"]])
    assert close(found, 0.25 * bias.astype(np.float64))
    rename(tmp_path, arrays | {f"{key}.lora_up.bias": bias}, "comfy")
    (fused,) = QKV["comfy"]
    assert close(stored(tmp_path / "out.safetensors")[f"{fused}.diff_b"], 0.25 * bias.astype(np.float64))


def test_a_layer_without_a_name_is_refused(tmp_path: Path) -> None:
    key = "lora_te2_layers_0_self_attn_q_proj"
    (refusal,) = rename(tmp_path, pair(key, 24)[0], "comfy").refused
    assert refusal.key == key


def test_a_layer_of_an_unknown_family_keeps_its_dots(tmp_path: Path) -> None:
    arrays, wanted = pair("base_model.model.some_blocks.3.to_it", 24)
    rename(tmp_path, arrays, "comfy")
    assert close(
        delta(stored(tmp_path / "out.safetensors"), "diffusion_model.some_blocks.3.to_it", (24, 8)), wanted
    )
    rename(tmp_path, arrays, "kohya")
    assert close(
        delta(stored(tmp_path / "out.safetensors"), "lora_unet_some_blocks_3_to_it", (24, 8)), wanted
    )
