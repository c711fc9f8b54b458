from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.converter.merge_into_base import WeightedAdapter, merge, parse_adapter_argument
from harness.converter.text import conversion
from harness.formats.read import read_tensors
from harness.quantising.package_quantiser import PackageQuantiser
from sdcpp.errors import AdapterUnknown
from tests.unit.converter.lora_files import KEY, Arrays, dense, pair, save

F64 = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
RANDOM = np.random.default_rng(11)
UNET = "model.diffusion_model."
#: The names in diffusers and in sd-scripts of a layer of the UNet, and its names in a published checkpoint.
QUERY = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0"
KOHYA_QUERY = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0"
LDM_QUERY = f"{UNET}input_blocks.1.1.transformer_blocks.0.attn1.to_out.0"


def draw(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return RANDOM.standard_normal(shape).astype(np.float32)


def changed(
    folder: Path,
    base: Arrays,
    adapter: Arrays,
    metadata: dict[str, str] | None = None,
    multiplier: float = 1.0,
) -> dict[str, F64]:
    """Merge an adapter and return the differences of the tensors that changed, by name."""
    merge(
        save(folder / "base.safetensors", base),
        [
            WeightedAdapter(
                path=save(folder / "a.safetensors", adapter, metadata=metadata), multiplier=multiplier
            )
        ],
        folder / "merged.safetensors",
    )
    merged = read_tensors(folder / "merged.safetensors").tensors
    assert set(merged) == set(base)
    differences = {name: merged[name].values().astype(np.float64) - array for name, array in base.items()}
    return {name: difference for name, difference in differences.items() if difference.any()}


def product(up: object, down: object) -> F64:
    """Return the product of two factors in float64."""
    found: F64 = np.asarray(up, np.float64) @ np.asarray(down, np.float64)
    return found


def lora(key: str, down: object, up: object) -> Arrays:
    return {f"{key}.lora_A.weight": np.asarray(down), f"{key}.lora_B.weight": np.asarray(up)}


def close(found: F64, wanted: F64) -> bool:
    """Return whether differences that were rounded to float32 are equal."""
    return found.shape == wanted.shape and bool(np.abs(found - wanted).max() < 2e-6)


def test_merging_adds_each_change_times_its_multiplier(tmp_path: Path) -> None:
    weight = np.random.default_rng(5).standard_normal((64, 96)).astype(np.float32)
    bias = np.ones(64, np.float32)
    base = save(
        tmp_path / "base.safetensors",
        {"model.diffusion_model.block.proj.weight": weight, "model.diffusion_model.block.proj.bias": bias},
    )
    a = save(tmp_path / "a.safetensors", pair() | {f"{KEY}.diff_b": bias})
    merge(
        base, [WeightedAdapter(path=a, multiplier=0.5), WeightedAdapter(path=a)], tmp_path / "m.safetensors"
    )
    merged = read_tensors(tmp_path / "m.safetensors").tensors
    wanted = weight + 1.5 * dense(a)[KEY]
    assert np.array_equal(
        merged["model.diffusion_model.block.proj.weight"].values(), wanted.astype(np.float32)
    ) or np.allclose(merged["model.diffusion_model.block.proj.weight"].values(), wanted, rtol=1e-6)
    assert np.allclose(merged["model.diffusion_model.block.proj.bias"].values(), 2.5)
    merge(base, [WeightedAdapter(path=a)], tmp_path / "m.gguf", ["Q8_0"], PackageQuantiser())
    assert read_tensors(tmp_path / "m.gguf").tensors["model.diffusion_model.block.proj.weight"].kind == "Q8_0"
    with pytest.raises(AdapterUnknown, match="no weight for lora_unet_other"):
        merge(
            base,
            [WeightedAdapter(path=save(tmp_path / "o.safetensors", pair(key="lora_unet_other")))],
            tmp_path / "x.gguf",
        )
    assert not (tmp_path / "x.gguf").exists()


def test_an_adapter_argument_may_end_in_a_multiplier() -> None:
    assert parse_adapter_argument("a.gguf@0.5") == WeightedAdapter(path=Path("a.gguf"), multiplier=0.5)
    assert parse_adapter_argument("a@b.gguf") == WeightedAdapter(path=Path("a@b.gguf"))


def test_a_scale_in_the_metadata_counts(tmp_path: Path) -> None:
    base, down, up = {f"{LDM_QUERY}.weight": draw(24, 16)}, draw(8, 16), draw(24, 8)
    metadata = {
        "lora_adapter_metadata": json.dumps({"unet.r": 8, "unet.lora_alpha": 4, "unet.use_rslora": True})
    }
    found = changed(tmp_path, base, lora(QUERY, down, up), metadata)
    assert close(found[f"{LDM_QUERY}.weight"], 4 / np.sqrt(8) * product(up, down))


def test_a_bias_of_the_factor_and_a_norm_are_applied(tmp_path: Path) -> None:
    norm = f"{UNET}input_blocks.1.1.norm"
    base = {
        f"{LDM_QUERY}.weight": draw(24, 16),
        f"{LDM_QUERY}.bias": draw(24),
        f"{norm}.weight": draw(24),
        f"{norm}.bias": draw(24),
    }
    down, up, bias, weight, shift = draw(8, 16), draw(24, 8), draw(24), draw(24), draw(24)
    adapter = {
        f"{KOHYA_QUERY}.lora_down.weight": down,
        f"{KOHYA_QUERY}.lora_up.weight": up,
        f"{KOHYA_QUERY}.lora_up.bias": bias,
        f"{KOHYA_QUERY}.alpha": np.array(2, np.float32),
        "lora_unet_down_blocks_0_attentions_0_norm.w_norm": weight,
        "lora_unet_down_blocks_0_attentions_0_norm.b_norm": shift,
    }
    found = changed(tmp_path, base, adapter)
    assert close(found[f"{LDM_QUERY}.weight"], 0.25 * product(up, down))
    assert close(found[f"{LDM_QUERY}.bias"], 0.25 * bias.astype(np.float64))
    assert close(found[f"{norm}.weight"], weight.astype(np.float64))
    assert close(found[f"{norm}.bias"], shift.astype(np.float64))


def test_a_tensor_that_is_not_understood_is_refused_by_name(tmp_path: Path) -> None:
    adapter = lora(QUERY, draw(8, 16), draw(24, 8)) | {f"{QUERY}.lora_C.weight": draw(8, 8)}
    with pytest.raises(AdapterUnknown, match=r"does not understand: .*lora_C\.weight"):
        changed(tmp_path, {f"{LDM_QUERY}.weight": draw(24, 16)}, adapter)
    assert not (tmp_path / "merged.safetensors").exists()


def test_the_bias_of_a_piece_of_a_fused_layer_is_added_to_its_rows(tmp_path: Path) -> None:
    name = f"{UNET}double_blocks.0.img_attn.qkv"
    base = {f"{name}.weight": draw(48, 16), f"{name}.bias": draw(48)}
    weight, bias = draw(16, 16), draw(16)
    key = "lycoris_transformer_blocks_0_attn_to_k"
    found = changed(tmp_path, base, {f"{key}.diff": weight, f"{key}.diff_b": bias})
    wanted = np.zeros((48, 16))
    wanted[16:32] = weight
    assert close(found[f"{name}.weight"], wanted)
    assert close(found[f"{name}.bias"], np.pad(bias.astype(np.float64), (16, 16)))


def test_the_halves_of_the_last_modulation_are_exchanged(tmp_path: Path) -> None:
    name = f"{UNET}final_layer.adaLN_modulation.1"
    base = {
        f"{name}.weight": draw(32, 16),
        f"{name}.bias": draw(32),
        f"{UNET}double_blocks.0.img_mlp.0.weight": draw(4, 4),
    }
    down, up, bias = draw(4, 16), draw(32, 4), draw(32)
    key = "transformer.norm_out.linear"
    found = changed(tmp_path, base, lora(key, down, up) | {f"{key}.lora_B.bias": bias})
    delta = product(up, down)
    assert close(found[f"{name}.weight"], np.vstack([delta[16:], delta[:16]]))
    assert close(found[f"{name}.bias"], np.concatenate([bias[16:], bias[:16]]).astype(np.float64))


def test_the_number_of_the_encoder_decides_and_open_clip_has_one_matrix(tmp_path: Path) -> None:
    second = "conditioner.embedders.1.model.transformer.resblocks.0."
    first = "conditioner.embedders.0.transformer.text_model.encoder.layers.0.self_attn.k_proj.weight"
    base = {
        first: draw(16, 16),
        f"{second}attn.in_proj_weight": draw(48, 16),
        f"{second}attn.in_proj_bias": draw(48),
        f"{second}mlp.c_fc.weight": draw(64, 16),
    }
    down, up, wide, bias = draw(4, 16), draw(16, 4), draw(64, 4), draw(16)
    stem = "lora_te2_text_model_encoder_layers_0_"
    adapter = {
        f"{stem}self_attn_k_proj.lora_down.weight": down,
        f"{stem}self_attn_k_proj.lora_up.weight": up,
        f"{stem}self_attn_k_proj.diff_b": bias,
        f"{stem}mlp_fc1.lora_down.weight": down,
        f"{stem}mlp_fc1.lora_up.weight": wide,
    }
    found = changed(tmp_path, base, adapter)
    assert set(found) == set(base) - {first}
    assert close(found[f"{second}attn.in_proj_weight"], np.pad(product(up, down), ((16, 16), (0, 0))))
    assert close(found[f"{second}attn.in_proj_bias"], np.pad(bias.astype(np.float64), (16, 16)))
    assert close(found[f"{second}mlp.c_fc.weight"], product(wide, down))


def test_a_norm_of_a_control_lora_is_replaced(tmp_path: Path) -> None:
    block = f"{UNET}double_blocks.0.img_attn."
    base = {f"{block}proj.weight": draw(24, 16), f"{block}norm.query_norm.scale": draw(8)}
    down, up, new = draw(4, 16), draw(24, 4), draw(8)
    adapter = lora("double_blocks.0.img_attn.proj", down, up)
    adapter["double_blocks.0.img_attn.norm.query_norm.scale"] = new
    found = changed(tmp_path, base, adapter, multiplier=0.5)
    assert close(found[f"{block}proj.weight"], 0.5 * product(up, down))
    replaced = new.astype(np.float64) - base[f"{block}norm.query_norm.scale"].astype(np.float64)
    assert close(found[f"{block}norm.query_norm.scale"], np.asarray(replaced, np.float64))
    assert changed(tmp_path, base, adapter, multiplier=0.0) == {}


def test_modules_of_another_file_are_left_out_and_named(tmp_path: Path) -> None:
    base = save(tmp_path / "base.safetensors", {f"{LDM_QUERY}.weight": draw(24, 16)})
    down, up = draw(8, 16), draw(24, 8)
    text = {
        "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": draw(4, 4),
        "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": draw(4, 4),
    }
    both = save(tmp_path / "a.safetensors", lora(QUERY, down, up) | text)
    done = merge(base, [WeightedAdapter(path=both)], tmp_path / "m.safetensors")
    assert list(done.skipped) == ["lora_te_text_model_encoder_layers_0_mlp_fc1"]
    assert "left out: 1 module" in conversion(done)
    alone = save(tmp_path / "b.safetensors", text)
    with pytest.raises(AdapterUnknown, match="none of the 1 modules is for a part of the model"):
        merge(base, [WeightedAdapter(path=alone)], tmp_path / "n.safetensors")


def test_alpha_has_no_effect_on_a_lokr_of_whole_matrices(tmp_path: Path) -> None:
    base = {f"{LDM_QUERY}.weight": draw(24, 16)}
    first, second = draw(4, 4), draw(6, 4)
    adapter = {f"{KOHYA_QUERY}.lokr_w1": first, f"{KOHYA_QUERY}.lokr_w2": second}
    adapter[f"{KOHYA_QUERY}.alpha"] = np.array(3, np.float32)
    found = changed(tmp_path, base, adapter)
    wanted = np.kron(first.astype(np.float64), second.astype(np.float64))
    assert close(found[f"{LDM_QUERY}.weight"], np.asarray(wanted, np.float64))


def test_dora_of_a_convolution_as_peft_stores_it_is_merged(tmp_path: Path) -> None:
    name = f"{UNET}input_blocks.1.0.in_layers.2.weight"
    base = {name: draw(8, 8, 3, 3)}
    down, up, magnitude = draw(4, 8, 3, 3), draw(8, 4, 1, 1), np.abs(draw(1, 8, 1, 1))
    key = "unet.down_blocks.0.resnets.0.conv1"
    adapter = lora(key, down, up) | {f"{key}.lora_magnitude_vector": magnitude}
    found = changed(tmp_path, base, adapter, multiplier=0.75)
    weight = base[name].astype(np.float64)
    total = weight + np.einsum("or,rihw->oihw", up[:, :, 0, 0].astype(np.float64), down.astype(np.float64))
    m = magnitude.astype(np.float64).reshape(8, 1, 1, 1)
    wanted = m * total / np.sqrt((total**2).sum(axis=(1, 2, 3), keepdims=True)) - weight
    assert close(found[name], 0.75 * wanted)


def test_a_fused_module_is_divided_among_the_matrices_of_a_split_model(tmp_path: Path) -> None:
    names = [f"transformer_blocks.0.attn.to_{part}.weight" for part in "qkv"]
    base = {name: draw(16, 16) for name in names} | {
        "single_transformer_blocks.0.proj_out.weight": draw(8, 8)
    }
    down, up = draw(4, 16), draw(48, 4)
    found = changed(tmp_path, base, lora("double_blocks.0.img_attn.qkv", down, up))
    for index, name in enumerate(names):
        assert close(found[name], product(up, down)[16 * index : 16 * index + 16])


def test_two_modules_for_the_same_rows_are_refused(tmp_path: Path) -> None:
    base = {f"{UNET}double_blocks.0.img_attn.qkv.weight": draw(48, 16)}
    adapter = lora("transformer.transformer_blocks.0.attn.to_q", draw(4, 16), draw(16, 4))
    adapter |= lora("double_blocks.0.img_attn.qkv", draw(4, 16), draw(48, 4))
    with pytest.raises(AdapterUnknown, match="change the same rows"):
        changed(tmp_path, base, adapter)


def test_a_weight_with_a_factor_in_another_tensor_is_refused(tmp_path: Path) -> None:
    base = {f"{LDM_QUERY}.weight": draw(24, 16), f"{LDM_QUERY}.scale_weight": draw(1)}
    with pytest.raises(AdapterUnknown, match="stores a factor for"):
        changed(tmp_path, base, lora(QUERY, draw(8, 16), draw(24, 8)))
