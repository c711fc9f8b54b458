from __future__ import annotations

import pytest

from harness.adapters.diffusers_names import FAMILIES, NamedRows, knows, parts
from harness.models.families.catalogue import FAMILIES as MODELS
from harness.models.layered_models import FLUX_LAYERS

#: A base model of each architecture, and the names of its targets with the heights of their weights.
BASES = {base.architecture: base for base in (*MODELS.values(), FLUX_LAYERS) if base.architecture in FAMILIES}


@pytest.mark.parametrize("architecture", FAMILIES)
def test_the_parts_of_every_layer_cover_its_rows_once(architecture: str) -> None:
    base = BASES[architecture]
    groups = [base.group(name) for name in ("linear", *base.groups) if "text" not in name]
    targets = {layer: tensor for group in groups for layer, tensor in group.items()}
    stems = []
    for layer, (role, tensor) in targets.items():
        height = base.files[role][tensor].shape[0]
        found = parts(architecture, layer, height)
        assert [part.start for part in found] == [0, *(part.stop for part in found[:-1])]
        assert found[-1].stop == height
        stems += [part.stem for part in found]
    assert len(set(stems)) == len(stems)


@pytest.mark.parametrize(
    ("architecture", "layer", "names"),
    [
        ("flux", "img_in", ["x_embedder"]),
        ("flux", "final_layer.linear", ["proj_out"]),
        ("flux", "double_blocks.10.txt_mod.lin", ["transformer_blocks.10.norm1_context.linear"]),
        ("flux", "single_blocks.1.linear2", ["single_transformer_blocks.1.proj_out"]),
        (
            "sd3",
            "joint_blocks.7.context_block.attn.qkv",
            [f"transformer_blocks.7.attn.add_{part}_proj" for part in "qkv"],
        ),
        ("sd3", "joint_blocks.0.x_block.mlp.fc1", ["transformer_blocks.0.ff.net.0.proj"]),
        ("flux2-klein", "single_blocks.3.linear1", ["single_transformer_blocks.3.attn.to_qkv_mlp_proj"]),
        ("sefi-image", "single_blocks.3.linear1", ["single_transformer_blocks.3.attn.to_qkv_mlp_proj"]),
        (
            "hunyuan-video",
            "txt_in.individual_token_refiner.blocks.1.mlp.0",
            ["context_embedder.token_refiner.refiner_blocks.1.ff.net.0.proj"],
        ),
        ("z-image", "noise_refiner.1.attention.out", ["noise_refiner.1.attention.to_out.0"]),
        ("z-image", "layers.0.feed_forward.w2", ["layers.0.feed_forward.w2"]),
        ("ernie-image", "layers.0.self_attention.to_q", ["layers.0.self_attention.to_q"]),
        ("krea2", "blocks.0.attn.gate", ["transformer_blocks.0.attn.to_gate"]),
        ("krea2", "blocks.0.mlp.up", ["transformer_blocks.0.ff.up"]),
        ("anima", "blocks.0.cross_attn.output_proj", ["transformer_blocks.0.attn2.to_out.0"]),
    ],
)
def test_names_are_those_of_diffusers(architecture: str, layer: str, names: list[str]) -> None:
    assert [part.stem for part in parts(architecture, layer, 84)] == names


def test_the_parts_of_a_single_block_of_flux_have_their_own_heights() -> None:
    rows = [(part.start, part.stop) for part in parts("flux", "single_blocks.0.linear1", 7 * 256)]
    assert rows == [(0, 256), (256, 512), (512, 768), (768, 1792)]


def test_the_halves_of_the_last_modulation_are_exchanged() -> None:
    [part] = parts("flux", "final_layer.adaLN_modulation.1", 512)
    assert part == NamedRows(stem="norm_out.linear", start=0, stop=512, swapped=True)


def test_an_unknown_layer_is_refused() -> None:
    with pytest.raises(KeyError):
        parts("flux", "double_blocks.0.unknown", 4)


def test_a_layer_that_only_a_relative_has_is_not_known() -> None:
    assert knows("flux", "img_in")
    assert not knows("flux", "distilled_guidance_layer.in_proj")
