from __future__ import annotations

import pytest

from harness.models.tiny_models import BASES

pytestmark = pytest.mark.usefixtures("cache_folder")


def test_every_target_is_in_its_file_with_the_type_that_the_library_uses() -> None:
    for base in BASES.values():
        assert base.targets
        for group, targets in {"linear": base.targets, **base.groups}.items():
            assert base.group(group) == targets
            for role, name in targets.values():
                weight = base.files[role][name]
                # The library converts every kernel to F16, whatever its type in the file is.
                assert weight.dtype == ("F16" if len(weight.shape) == 4 else "F32")
                assert weight.shape[2:] == {"conv1x1": (1, 1), "conv3x3": (3, 3), "strided": (3, 3)}.get(
                    group, ()
                )
    assert set(BASES["sd1-tiny"].groups) == {"conv1x1", "conv3x3", "strided", "text"}
    assert BASES["flux-small"].group("conv3x3") == {}


def test_a_weight_is_found_in_any_group() -> None:
    assert BASES["sd1-tiny"].weight("down_blocks.0.resnets.0.conv1").shape == (320, 320, 3, 3)
    assert BASES["flux-small"].weight("text_model.encoder.layers.5.mlp.fc2").shape == (768, 3072)
