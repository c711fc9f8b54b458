from __future__ import annotations

import pytest

from harness.adapters.diffusers_names import FAMILIES
from harness.adapters.key_schemes import SCHEMES, Target
from harness.layers.flux import FLUX2
from harness.layers.layer import Family, underscored
from harness.layers.other_transformers import Z_IMAGE
from harness.layers.sd3 import SD3
from harness.models.families.catalogue import FAMILIES as MODELS


@pytest.mark.parametrize("name", FAMILIES)
def test_the_parts_of_every_layer_cover_its_rows_once(name: str) -> None:
    base, seen = MODELS[name], set()
    for layer, (role, tensor) in base.targets.items():
        shape = base.files[role][tensor].shape
        target = Target(architecture=name, group="linear", name=layer, shape=shape, tensor=tensor)
        parts = SCHEMES["diffusers"].parts(target)
        assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]
        assert parts[-1].stop == shape[0]
        seen |= {part.stem for part in parts}
    assert len(seen) == sum(len(FAMILIES[name].of(layer)) for layer in base.targets)


@pytest.mark.parametrize(
    ("family", "layer", "names"),
    [
        (
            "sd3",
            "joint_blocks.7.context_block.attn.qkv",
            [f"transformer_blocks.7.attn.add_{part}_proj" for part in "qkv"],
        ),
        ("sd3", "joint_blocks.0.x_block.mlp.fc1", ["transformer_blocks.0.ff.net.0.proj"]),
        ("flux2-klein", "single_blocks.3.linear1", ["single_transformer_blocks.3.attn.to_qkv_mlp_proj"]),
        ("z-image", "noise_refiner.1.attention.out", ["noise_refiner.1.attention.to_out.0"]),
        ("z-image", "layers.0.feed_forward.w2", ["layers.0.feed_forward.w2"]),
        ("ernie-image", "layers.0.self_attention.to_q", ["layers.0.self_attention.to_q"]),
    ],
)
def test_names_are_those_of_diffusers(family: str, layer: str, names: list[str]) -> None:
    assert list(FAMILIES[family].of(layer)) == names


@pytest.mark.parametrize(("name", "table"), [("sd3", SD3), ("flux2-klein", FLUX2), ("z-image", Z_IMAGE)])
def test_the_table_of_the_converter_reads_the_names_as_the_same_rows(name: str, table: Family) -> None:
    """The names were read twice, for the harness here and for the converter in harness/layers."""
    base = MODELS[name]
    for layer, (role, tensor) in base.targets.items():
        shape = base.files[role][tensor].shape
        target = Target(architecture=name, group="linear", name=layer, shape=shape, tensor=tensor)
        for part in SCHEMES["diffusers"].parts(target):
            place = table.place(part.stem.removeprefix("transformer."))
            assert place is not None
            assert place.layer == underscored(layer)
            units = place.within(shape).units or (1,)
            [piece] = place.take or (0,)
            height = shape[0] // sum(units)
            start = height * sum(units[:piece])
            assert (part.start, part.stop) == (start, start + height * units[piece])
