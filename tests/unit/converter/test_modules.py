from __future__ import annotations

import pytest

from harness.converter.modules import scheme, split


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("lora_unet_x.lora_down.weight", ("lora_unet_x", "down")),
        ("unet.a.to_q_lora.up.weight", ("unet.a.to_q", "up")),
        ("transformer.a.to_q.lora_A.default.weight", ("transformer.a.to_q", "down")),
        ("a.processor.to_q_lora.down.weight", ("a.processor.to_q", "down")),
        ("x.lokr_w2_b", ("x", "lokr_w2_b")),
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
