from __future__ import annotations

import pytest

from harness.models import architectures

pytestmark = pytest.mark.usefixtures("cache_folder")


def test_the_widths_of_flux_follow_from_its_arguments() -> None:
    weights = architectures.flux(hidden=128, double=2, single=0)
    assert weights["txt_in.weight"].shape == (128, 4096)
    assert weights["double_blocks.1.img_attn.qkv.weight"].shape == (384, 128)
    assert not [name for name in weights if name.startswith("single_blocks")]


def test_the_encoder_mirrors_the_decoder() -> None:
    encoder, decoder = (
        architectures.taesd_encoder(4),
        architectures.taesd(4, contrast=1.0, brightness=(0, 0, 0)),
    )
    shapes = [
        sorted(weight.shape for weight in part.values() if len(weight.shape) == 4)
        for part in (encoder, decoder)
    ]
    assert [len(each) for each in shapes] == [35, 35]
    assert encoder["encoder.layers.0.weight"].shape == (64, 3, 3, 3)
    assert encoder["encoder.layers.14.weight"].shape == (4, 64, 3, 3)
