from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from harness.adapters.adapter import Adapter, changes
from harness.models.base_model import Base, Weight
from tests.unit.adapters.merging import merge
from tests.unit.fake_models import ADAPTER, BASE

KEY = "lora_unet_block_proj"
TENSOR = ("model", "block.proj.weight")
#: A base model of architecture flux, with a fused matrix of three parts, a convolution and a bias.
SPLIT = Base(
    name="split",
    architecture="flux",
    files={
        "model": {
            "qkv.weight": Weight(shape=(24, 8), std=0.1, dtype="F32"),
            "qkv.bias": Weight(shape=(24,), std=0.1, dtype="F32"),
            "plain.weight": Weight(shape=(8, 8), std=0.1, dtype="F32"),
            "kernel.weight": Weight(shape=(6, 4, 3, 3), std=0.1),
        }
    },
    targets={
        "double_blocks.0.img_attn.qkv": ("model", "qkv.weight"),
        "double_blocks.0.img_attn.proj": ("model", "plain.weight"),
    },
    groups={"conv3x3": {"kernel": ("model", "kernel.weight")}},
)
SPLIT_ADAPTER = Adapter(name="x", base="split", rank=2, alpha=1.0, scheme="diffusers-flux")
STEM = "transformer.transformer_blocks.0.attn"


def test_shapes_and_names_follow_kohya() -> None:
    tensors = ADAPTER.tensors(BASE)
    assert tensors[f"{KEY}.lora_down.weight"].shape == (4, 32)
    assert tensors[f"{KEY}.lora_up.weight"].shape == (64, 4)
    assert tensors[f"{KEY}.alpha"].tolist() == [2.0]
    assert len(tensors) == 3 * len(BASE.targets)


def test_the_values_of_a_plain_recipe_never_change() -> None:
    wanted = {}
    for number, (target, out, inner) in enumerate((("block_proj", 64, 32), ("block_out", 32, 64))):
        draw = np.random.default_rng((7, number))
        down = draw.standard_normal((4, inner)) / math.sqrt(inner)
        up = draw.standard_normal((out, 4))
        up *= 1.0 * 0.1 * math.sqrt(out * inner) / (2.0 / 4 * math.sqrt(out * 4))
        wanted[f"lora_unet_{target}.lora_down.weight"] = down.astype(np.float32)
        wanted[f"lora_unet_{target}.lora_up.weight"] = up.astype(np.float32)
        wanted[f"lora_unet_{target}.alpha"] = np.array([2.0], np.float32)
    tensors = ADAPTER.tensors(BASE)
    assert list(tensors) == list(wanted)
    assert all(np.array_equal(array, wanted[name]) for name, array in tensors.items())


def test_strength_is_the_norm_of_the_change_divided_by_the_norm_of_the_weight() -> None:
    tensors = {k: v.astype(np.float64) for k, v in ADAPTER.tensors(BASE).items()}
    change = 2.0 / 4 * tensors[f"{KEY}.lora_up.weight"] @ tensors[f"{KEY}.lora_down.weight"]
    assert np.linalg.norm(change) / np.linalg.norm(BASE.weight("block.proj")) == pytest.approx(1.0, rel=0.35)


def test_merging_follows_the_definition_element_by_element() -> None:
    tensors = ADAPTER.tensors(BASE)
    merged = merge(BASE, tensors, multiplier=0.5)[TENSOR]
    up, down = tensors[f"{KEY}.lora_up.weight"], tensors[f"{KEY}.lora_down.weight"]
    for row, column in ((0, 0), (63, 31), (17, 5)):
        change = sum(float(up[row, r]) * float(down[r, column]) for r in range(4)) * 0.5 * 2.0 / 4
        assert merged[row, column] == pytest.approx(BASE.weight("block.proj")[row, column] + change, rel=1e-6)


def test_without_alpha_the_scale_is_one() -> None:
    plain = dataclasses.replace(ADAPTER, alpha=None)
    tensors = plain.tensors(BASE)
    assert f"{KEY}.alpha" not in tensors
    with_alpha = tensors | {f"{KEY}.alpha": np.array([4.0], np.float32)}
    assert np.array_equal(merge(BASE, tensors)[TENSOR], merge(BASE, with_alpha)[TENSOR])


def test_alpha_may_be_the_rank_of_each_target() -> None:
    mixed = dataclasses.replace(ADAPTER, rank=(1, 8), alpha="rank")
    tensors = mixed.tensors(BASE)
    assert tensors[f"{KEY}.lora_down.weight"].shape == (1, 32)
    assert tensors["lora_unet_block_out.lora_down.weight"].shape == (8, 64)
    assert tensors[f"{KEY}.alpha"].tolist() == [1.0]
    assert tensors["lora_unet_block_out.alpha"].tolist() == [8.0]


def test_alpha_over_rank_may_be_stored_as_a_scale() -> None:
    scaled = dataclasses.replace(ADAPTER, form="scale")
    tensors = scaled.tensors(BASE)
    assert f"{KEY}.alpha" not in tensors
    assert tensors[f"{KEY}.scale"].tolist() == [0.5]
    assert np.array_equal(
        merge(BASE, tensors, adapter=scaled)[TENSOR], merge(BASE, ADAPTER.tensors(BASE))[TENSOR]
    )


def test_alpha_type_is_the_type_of_the_scalars_only() -> None:
    assert ADAPTER.types(BASE) == {}
    typed = dataclasses.replace(ADAPTER, alpha_type="BF16")
    assert typed.types(BASE) == {f"{KEY}.alpha": "BF16", "lora_unet_block_out.alpha": "BF16"}
    assert dataclasses.replace(typed, alpha=None).types(BASE) == {}
    assert set(dataclasses.replace(typed, form="scale").types(BASE)) == {
        f"{KEY}.scale",
        "lora_unet_block_out.scale",
    }


def test_each_part_of_a_fused_weight_changes_its_rows() -> None:
    tensors = SPLIT_ADAPTER.tensors(SPLIT)
    assert tensors[f"{STEM}.to_k.lora_B.weight"].shape == (8, 2)
    change = changes(SPLIT, tensors, 1.0, SPLIT_ADAPTER)["model", "qkv.weight"]
    for part, start in (("to_q", 0), ("to_k", 8), ("to_v", 16)):
        up, down = (tensors[f"{STEM}.{part}.lora_{x}.weight"].astype(np.float64) for x in "BA")
        assert np.allclose(change[start : start + 8], 0.5 * up @ down)
    assert not np.allclose(change[:8], change[8:16])


def test_a_part_without_tensors_is_not_changed() -> None:
    tensors = {n: a for n, a in SPLIT_ADAPTER.tensors(SPLIT).items() if ".to_k." not in n}
    change = changes(SPLIT, tensors, 1.0, SPLIT_ADAPTER)["model", "qkv.weight"]
    assert not change[8:16].any()
    assert change[:8].any()
    assert change[16:].any()


def test_a_bias_kind_changes_targets_that_have_a_bias() -> None:
    adapter = Adapter(name="x", base="split", kind="diff-b")
    tensors = adapter.tensors(SPLIT)
    assert set(tensors) == {"lora_unet_double_blocks_0_img_attn_qkv.diff_b"}
    [(tensor, merged)] = merge(SPLIT, tensors, 2.0, adapter=adapter).items()
    assert tensor == ("model", "qkv.bias")
    [stored] = tensors.values()
    assert np.allclose(merged, SPLIT.values(tensor) + 2.0 * stored)


def test_the_kernel_of_a_convolution_is_changed() -> None:
    adapter = Adapter(name="x", base="split", rank=2, alpha=None, kind="tucker", targets=("conv3x3",))
    tensors = adapter.tensors(SPLIT)
    change = changes(SPLIT, tensors, 1.0, adapter)["model", "kernel.weight"]
    up, mid, down = (tensors[f"lora_unet_kernel.lora_{x}.weight"] for x in ("up", "mid", "down"))
    wanted = sum(
        float(up[5, p, 0, 0]) * float(mid[p, q, 2, 1]) * float(down[q, 3, 0, 0])
        for p in range(2)
        for q in range(2)
    )
    assert change[5, 3, 2, 1] == pytest.approx(wanted)
    assert adapter.tensors(dataclasses.replace(SPLIT, groups={"conv3x3": SPLIT.targets})) == {}


def test_flat_factors_define_the_same_change() -> None:
    usual = Adapter(name="x", base="split", rank=2, alpha=1.0, targets=("conv3x3",))
    flat = dataclasses.replace(usual, form="flat")
    shapes = {name.rpartition("kernel")[2]: array.shape for name, array in flat.tensors(SPLIT).items()}
    assert shapes == {".lora_down.weight": (2, 36), ".lora_up.weight": (6, 2), ".alpha": (1,)}
    one, other = (changes(SPLIT, a.tensors(SPLIT), 1.0, a)["model", "kernel.weight"] for a in (usual, flat))
    assert np.array_equal(one, other)


def test_alpha_does_not_scale_a_lokr_without_a_rank() -> None:
    adapter = Adapter(name="x", base="small", rank=4, alpha=2.0, kind="lokr")
    tensors = adapter.tensors(BASE)
    assert tensors[f"{KEY}.alpha"].tolist() == [2.0]
    change = changes(BASE, tensors, 1.0, adapter)[TENSOR]
    first, second = tensors[f"{KEY}.lokr_w1"], tensors[f"{KEY}.lokr_w2"]
    assert change[0, 0] == pytest.approx(float(first[0, 0]) * float(second[0, 0]))


@pytest.mark.parametrize("scheme", ["kohya", "peft"])
def test_dora_has_the_stored_magnitudes_and_the_multiplier_scales_the_change(scheme: str) -> None:
    adapter = Adapter(name="x", base="small", rank=4, alpha=2.0, kind="dora", scheme=scheme)
    tensors = adapter.tensors(BASE)
    stem = {"kohya": f"{KEY}.dora_scale", "peft": "diffusion_model.block.proj.lora_magnitude_vector"}[scheme]
    magnitude = tensors[stem]
    assert magnitude.shape == {"kohya": (64, 1), "peft": (64,)}[scheme]
    weight = BASE.weight("block.proj").astype(np.float64)
    full = merge(BASE, tensors, adapter=adapter)[TENSOR].astype(np.float64)
    for row in (0, 17, 63):
        length = math.sqrt(sum(v * v for v in full[row].tolist()))
        assert length == pytest.approx(float(magnitude.reshape(-1)[row]), rel=1e-5)
    half = merge(BASE, tensors, 0.5, adapter=adapter)[TENSOR]
    assert np.allclose(half, (weight + full) / 2, atol=1e-6)


def test_a_target_without_tensors_is_not_changed() -> None:
    tensors = {name: array for name, array in ADAPTER.tensors(BASE).items() if name.startswith(KEY)}
    assert set(merge(BASE, tensors)) == {TENSOR}


@pytest.mark.parametrize(
    "field",
    [
        {"rank": 8},
        {"rank": (4, 8)},
        {"alpha": None},
        {"alpha": "rank"},
        {"kind": "loha"},
        {"scheme": "peft"},
        {"form": "scale"},
        {"alpha_type": "BF16"},
        {"targets": ("linear", "text")},
    ],
)
def test_different_recipes_have_different_digests(field: dict[str, object]) -> None:
    assert ADAPTER.digest == dataclasses.replace(ADAPTER).digest
    assert ADAPTER.digest != dataclasses.replace(ADAPTER, **field).digest  # type: ignore[arg-type]


def test_adapters_in_one_file_add_up_and_keep_the_digest_of_a_plain_recipe() -> None:
    other = dataclasses.replace(ADAPTER, name="other", kind="diff", seed=8)
    both = dataclasses.replace(ADAPTER, also=(other,))
    tensors = both.tensors(BASE)
    assert tensors.keys() == ADAPTER.tensors(BASE).keys() | other.tensors(BASE).keys()
    total = changes(BASE, tensors, 1.0, both)[TENSOR]
    parts = [changes(BASE, tensors, 1.0, a)[TENSOR] for a in (ADAPTER, other)]
    assert np.allclose(total, parts[0] + parts[1], rtol=0, atol=1e-12)
    # The digest names files in the cache. It was recorded before recipes could list further adapters.
    assert dataclasses.replace(both, also=()).digest == ADAPTER.digest
    assert ADAPTER.digest == "3168075e6d866f5697f69ba85486f0404ed50c6634a4d3e9819f89098cacf9c2"
    assert both.digest != ADAPTER.digest


def test_types_of_all_adapters_of_a_file_are_returned() -> None:
    other = dataclasses.replace(ADAPTER, targets=("other",), alpha_type="BF16")
    base = dataclasses.replace(BASE, groups={"other": {"more": ("model", "block.out.weight")}})
    both = dataclasses.replace(ADAPTER, also=(other,))
    assert both.types(base) == {"lora_unet_more.alpha": "BF16"}


def test_diffusers_last_modulation_changes_the_halves_in_reverse() -> None:
    name = "final_layer.adaLN_modulation.1"
    base = Base(
        name="swapped",
        architecture="flux",
        files={"model": {"w.weight": Weight(shape=(6, 4), std=0.1, dtype="F32")}},
        targets={name: ("model", "w.weight")},
    )
    adapter = dataclasses.replace(SPLIT_ADAPTER, base="swapped")
    tensors = adapter.tensors(base)
    up, down = (tensors[f"transformer.norm_out.linear.lora_{n}.weight"] for n in "BA")
    change = changes(base, tensors, 1.0, adapter)["model", "w.weight"]
    plain = 0.5 * up.astype(np.float64) @ down.astype(np.float64)
    assert np.allclose(change, np.concatenate([plain[3:], plain[:3]]), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kind", "shape"), [("dora", (6, 1)), ("dora-in", (1, 4))])
def test_magnitudes_of_exchanged_halves_belong_to_the_rows_of_the_adapter(
    kind: str, shape: tuple[int, ...]
) -> None:
    base = Base(
        name="swapped",
        architecture="flux",
        files={"model": {"w.weight": Weight(shape=(6, 4), std=0.1, dtype="F32")}},
        targets={"final_layer.adaLN_modulation.1": ("model", "w.weight")},
    )
    adapter = dataclasses.replace(SPLIT_ADAPTER, base="swapped", kind=kind, scheme="lycoris")
    tensors = adapter.tensors(base)
    key = "lycoris_norm_out_linear"
    up, down = (tensors[f"{key}.lora_{n}.weight"].astype(np.float64) for n in ("up", "down"))
    magnitude = tensors[f"{key}.dora_scale"].astype(np.float64)
    assert magnitude.shape == shape
    weight = base.values(("model", "w.weight")).astype(np.float64)
    rows = [3, 4, 5, 0, 1, 2]
    scale = tensors[f"{key}.alpha"] / len(down)
    total = weight[rows] + scale * (up @ down)  # in diffusers' order
    wanted = total * magnitude / np.linalg.norm(total, axis=1 if kind == "dora" else 0, keepdims=True)
    change = changes(base, tensors, 1.0, adapter)["model", "w.weight"]
    assert np.allclose((weight + change)[rows], wanted, rtol=0, atol=1e-7)
