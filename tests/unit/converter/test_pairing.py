from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.converter import pairing
from harness.converter.compare import compare
from harness.converter.modules import layout_of
from harness.formats.read import read_tensors
from sdcpp.errors import AdapterUnknown
from tests.unit.converter.lora_files import Arrays, save

RANDOM = np.random.default_rng(9)


def draw(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return RANDOM.standard_normal(shape).astype(np.float32)


def kohya(key: str, down: object, up: object, **more: object) -> Arrays:
    named = {f"{key}.{part}": np.asarray(value) for part, value in more.items()}
    return {f"{key}.lora_down.weight": np.asarray(down), f"{key}.lora_up.weight": np.asarray(up), **named}


def peft(key: str, down: object, up: object) -> Arrays:
    return {f"{key}.lora_A.weight": np.asarray(down), f"{key}.lora_B.weight": np.asarray(up)}


DOWN, UP = draw(4, 16), draw(48, 4)
FUSED = kohya("lora_unet_double_blocks_0_img_attn_qkv", DOWN, UP)
SPLIT = {
    name: value
    for index, part in enumerate("qkv")
    for name, value in peft(
        f"transformer.transformer_blocks.0.attn.to_{part}", DOWN, UP[16 * index : 16 * index + 16]
    ).items()
}


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (FUSED, SPLIT),
        (peft("unet.up_blocks.1.upsamplers.0.conv", draw(4, 16), UP), None),
        (
            kohya("lora_unet_final_layer_adaLN_modulation_1", DOWN, UP),
            peft("transformer.norm_out.linear", DOWN, np.vstack([UP[24:], UP[:24]])),
        ),
        (
            kohya("lora_te1_text_model_encoder_layers_0_mlp_fc1", DOWN, UP),
            peft("text_encoder.text_model.encoder.layers.0.mlp.fc1", DOWN, UP),
        ),
        (
            kohya("lora_unet_input_blocks_4_1_proj_in", DOWN, UP),
            peft("unet.down_blocks.1.attentions.0.proj_in", DOWN, UP),
        ),
    ],
)
def test_one_change_under_two_naming_conventions_is_one_change(
    tmp_path: Path, a: Arrays, b: Arrays | None
) -> None:
    if b is None:
        names = {
            name: name.replace("unet.up_blocks.1.upsamplers.0", "lora_unet_output_blocks_5_2") for name in a
        }
        b = {new.replace("_2.conv", "_2_conv"): a[name] for name, new in names.items()}
    one, other = save(tmp_path / "a.safetensors", a), save(tmp_path / "b.safetensors", b)
    for found in (compare(one, other), compare(other, one)):
        assert found.relative < 1e-7
        assert (found.only_a, found.only_b, len(found.differences)) == ([], [], 1)


def test_the_error_is_that_of_the_formed_changes(tmp_path: Path) -> None:
    changed = dict(SPLIT)
    up = "transformer.transformer_blocks.0.attn.to_k.lora_B.weight"
    changed[up] = changed[up] + 1
    del changed["transformer.transformer_blocks.0.attn.to_v.lora_A.weight"]
    del changed["transformer.transformer_blocks.0.attn.to_v.lora_B.weight"]
    found = compare(save(tmp_path / "a.safetensors", FUSED), save(tmp_path / "b.safetensors", changed))
    product = UP.astype(np.float64) @ DOWN
    error = product.copy()
    error[:16] = 0
    error[16:32] -= changed[up].astype(np.float64) @ DOWN
    assert found.relative == pytest.approx(np.linalg.norm(error) / np.linalg.norm(product), rel=1e-6)


def test_two_modules_of_one_file_for_the_same_rows_are_refused(tmp_path: Path) -> None:
    other = kohya("lora_unet_transformer_blocks_0_attn_to_q", DOWN, UP[:16])
    both = save(tmp_path / "a.safetensors", FUSED | other)
    with pytest.raises(AdapterUnknown, match="two modules change the same rows"):
        compare(both, save(tmp_path / "b.safetensors", SPLIT))


def test_encoders_are_told_apart(tmp_path: Path) -> None:
    names = ("lora_te1_text_model_encoder_layers_0_mlp_fc1", "lora_te2_text_model_encoder_layers_0_mlp_fc1")
    a, b = (save(tmp_path / f"{n}.safetensors", kohya(name, DOWN, UP)) for n, name in enumerate(names))
    assert len(pairing.pairs(layout_of(read_tensors(a)), layout_of(read_tensors(b)))) == 2
    assert compare(a, b).relative == pytest.approx(2**0.5)
