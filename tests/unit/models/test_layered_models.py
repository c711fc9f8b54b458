from __future__ import annotations

import pytest

from harness.models.base_model import Base
from harness.models.layered_models import FLUX_LAYERS, SD1_LAYERS


@pytest.mark.parametrize("base", [FLUX_LAYERS, SD1_LAYERS], ids=lambda base: base.name)
def test_every_target_is_a_tensor_and_belongs_to_one_group(base: Base) -> None:
    groups = {name: group for name, group in base.groups.items() if name != "last-txt"}
    tensors = [tensor for group in groups.values() for tensor in group.values()]
    assert len(set(tensors)) == len(tensors)
    assert all(name in base.files[role] for role, name in tensors)


@pytest.mark.parametrize("base", [FLUX_LAYERS, SD1_LAYERS], ids=lambda base: base.name)
def test_the_whole_text_encoder_but_the_embeddings_is_in_a_file_of_its_own(base: Base) -> None:
    text = {name for name in base.files["clip_l"] if ".encoder.layers." in name}
    assert {name.split(".")[3] for name in text} == {str(i) for i in range(12)}
    assert not any(".encoder.layers." in name for name in base.files["model"])
    assert any(name.endswith("token_embedding.weight") for name in base.files["model"])


def test_the_last_block_of_the_text_stream_has_a_group_of_its_own() -> None:
    last = set(FLUX_LAYERS.groups["last-txt"].values())
    assert last < set(FLUX_LAYERS.groups["txt"].values())
    assert all(".double_blocks.10." in name for _, name in last)
