from __future__ import annotations

import math

from harness.models.families.unet import SDXL, SDXL_FUSED


def test_the_fused_text_encoder_of_sdxl_has_the_names_of_open_clip() -> None:
    fused = {name for role in ("model", "clip_g") for name in SDXL_FUSED.files[role]}
    assert len({name for name in fused if name.endswith("attn.in_proj_weight")}) == 31
    assert not any("cond_stage_model.1." in name for name in fused)
    elements = [
        sum(math.prod(weight.shape) for weights in base.files.values() for weight in weights.values())
        for base in (SDXL, SDXL_FUSED)
    ]
    assert elements[0] == elements[1]
    role, name = SDXL_FUSED.groups["text-2"]["text_model.encoder.layers.30.self_attn.in_proj"]
    assert SDXL_FUSED.files[role][name].shape == (3840, 1280)
    assert SDXL_FUSED.files[role][name.replace("weight", "bias")].shape == (3840,)
