from __future__ import annotations

from pathlib import Path

import pytest

from harness.converter.modules import layout, scheme, split
from harness.formats.tensor import Tensor


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("lora_unet_x.lora_down.weight", ("lora_unet_x", "down")),
        ("unet.a.to_q_lora.up.weight", ("unet.a.to_q", "up")),
        ("transformer.a.to_q.lora_A.default.weight", ("transformer.a.to_q", "down")),
        ("a.processor.to_q_lora.down.weight", ("a.processor.to_q", "down")),
        ("x.lokr_w2_b", ("x", "lokr_w2_b")),
        ("double_blocks.0.processor.qkv_lora1.down.weight", ("double_blocks.0.processor.qkv_lora1", "down")),
        ("single_blocks.0.processor.qkv_lora.up.weight", ("single_blocks.0.processor.qkv_lora", "up")),
        ("x.lora_B.bias", ("x", "up_bias")),
        ("x.w_norm", ("x", "diff")),
        ("x.b_norm", ("x", "diff_b")),
        ("x.magnitude", ("x", "dora")),
        ("bundle_emb.x", None),
    ],
)
def test_tensor_names_of_all_schemes_are_split_into_module_and_part(
    name: str, wanted: tuple[str, str] | None
) -> None:
    assert split(name) == wanted


def test_the_scheme_of_a_file_is_recognised_by_its_names() -> None:
    assert scheme(["lora_te_x.alpha", "lora_unet_y.alpha"]) == "kohya"
    assert scheme(["unet.y.lora_A.weight"]) == "peft"
    assert scheme(["lycoris_x.lokr_w1"]) == "lycoris"


def test_whole_tensors_of_known_layers_beside_an_adapter_replace_them() -> None:
    norm, saved = "double_blocks.0.txt_attn.norm.key_norm.scale", "base_model.model.x_embedder.bias"
    names = [
        "lora_unet_x.lora_up.weight",
        "lora_unet_x.lora_down.weight",
        norm,
        saved,
        "bundle_emb.y.clip_l",
        "z.weight",
    ]
    tensors = [Tensor(name=name, shape=(2, 2), kind="F32", path=Path("x"), offset=0) for name in names]
    found = layout(tensors)
    assert {key: module.kind for key, module in found.modules.items()} == {
        "lora_unet_x": "lora",
        norm.removesuffix(".scale"): "replaced",
        saved.removesuffix(".bias"): "replaced",
    }
    assert [tensor.name for tensor in found.other_tensors] == ["bundle_emb.y.clip_l", "z.weight"]
    # A model has no modules.
    assert not layout(tensors[2:]).modules
