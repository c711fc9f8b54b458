from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from harness.converter.combine import COMBINED, CombineOptions, combine
from harness.converter.convert import convert
from harness.converter.low_rank import RankChoice
from harness.converter.merge_into_base import WeightedAdapter
from harness.converter.rewritten_file import with_names
from harness.formats.read import read_tensors
from harness.formats.tensor import SAFETENSORS
from harness.quantising.package_quantiser import PackageQuantiser
from sdcpp.errors import AdapterUnknown, OutputRefused
from tests.unit.converter.lora_files import KEY, METADATA, Arrays, pair, save
from tests.unit.converter.rewritten_tensors import F64, close, delta, draw, product, stored

QKV = "lora_unet_double_blocks_0_img_attn_qkv"
PIECES = [f"transformer.transformer_blocks.0.attn.to_{part}" for part in "qkv"]


def together(target: Path, *files: tuple[Path, float], **options: object) -> dict[str, F64]:
    """Combine files, and return the tensors of the result."""
    adapters = [WeightedAdapter(path=path, multiplier=number) for path, number in files]
    combine(adapters, target, CombineOptions(**options))  # type: ignore[arg-type]
    return stored(target)


def scaled_product(arrays: Arrays, key: str = KEY, scale: float = 0.5) -> F64:
    """Return scale · up · down."""
    return scale * product(arrays[f"{key}.lora_up.weight"], arrays[f"{key}.lora_down.weight"])


def test_the_sum_of_two_loras_is_exact(tmp_path: Path) -> None:
    a, b = pair(rank=8), pair(rank=4, seed=2) | pair(rank=3, seed=3, key="lora_te_x")
    found = together(
        tmp_path / "c.safetensors",
        (save(tmp_path / "a.safetensors", a), 0.8),
        (save(tmp_path / "b.gguf", b), -0.5),
    )
    wanted = 0.8 * scaled_product(a) - 0.5 * scaled_product(b)
    assert close(delta(found, KEY, wanted.shape), wanted)
    assert found[f"{KEY}.lora_down.weight"].shape == (12, 96)
    assert np.array_equal(found["lora_te_x.lora_up.weight"], b["lora_te_x.lora_up.weight"])
    assert found["lora_te_x.alpha"] == -0.75
    metadata = read_tensors(tmp_path / "c.safetensors").metadata
    assert json.loads(str(metadata[COMBINED].value)) == [["a.safetensors", 0.8], ["b.gguf", -0.5]]
    assert all(metadata[key] == entry for key, entry in METADATA.items())


@pytest.mark.parametrize("choice", [RankChoice(rank=5), RankChoice(error=0.2)])
def test_a_shortened_sum_is_the_best_one(tmp_path: Path, choice: RankChoice) -> None:
    a, b = pair(rank=8), pair(rank=6, seed=2)
    files = [(save(tmp_path / f"{i}.safetensors", x), 1.0) for i, x in enumerate((a, b))]
    found = together(tmp_path / "c.safetensors", *files, choice=choice)
    wanted = scaled_product(a) + scaled_product(b)
    sigma = np.linalg.svd(wanted, compute_uv=False)
    tails = np.sqrt(np.append(np.cumsum((sigma**2)[::-1])[::-1], 0) / np.sum(sigma**2))
    rank = len(found[f"{KEY}.lora_down.weight"])
    error = np.linalg.norm(delta(found, KEY, wanted.shape) - wanted) / np.linalg.norm(wanted)
    assert error == pytest.approx(tails[rank], rel=1e-4)
    assert rank == (5 if choice.rank else np.argmax(tails <= 0.2))


def test_files_with_the_names_of_different_programs(tmp_path: Path) -> None:
    fused = pair(rank=4, out=96, inner=32, key=QKV)
    pieces: Arrays = {}
    for piece, seed in zip(PIECES, (4, 5, 6), strict=True):
        pieces[f"{piece}.lora_A.weight"] = draw(2, 32)
        pieces[f"{piece}.lora_B.weight"] = draw(32, 2) * np.float32(seed / 9)
    a, b = save(tmp_path / "a.safetensors", fused), save(tmp_path / "b.safetensors", pieces)
    whole = scaled_product(fused, QKV)
    parts = [product(pieces[f"{piece}.lora_B.weight"], pieces[f"{piece}.lora_A.weight"]) for piece in PIECES]
    first = together(tmp_path / "c.safetensors", (a, 1), (b, 2))
    assert close(delta(first, QKV, whole.shape), whole + 2 * np.vstack(parts))
    assert {name.rpartition(".lora")[0] for name in first if "lora_" in name[20:]} == {QKV}
    second = together(tmp_path / "d.safetensors", (b, 2), (a, 1))
    for index, piece in enumerate(PIECES):
        rows = whole[32 * index : 32 * index + 32]
        assert close(delta(second, piece, rows.shape), rows + 2 * parts[index])
    assert not [name for name in second if name.endswith("alpha")]
    third = together(tmp_path / "e.safetensors", (b, 2), (a, 1), scheme="comfy")
    assert close(
        delta(third, "diffusion_model.double_blocks.0.img_attn.qkv", whole.shape),
        whole + 2 * np.vstack(parts),
    )


def kinds() -> dict[str, Arrays]:
    """Return the tensors of a module of each kind for a convolution [8, 6, 3, 3], without the key."""
    return {
        "lora": {"lora_down.weight": draw(2, 6, 3, 3), "lora_up.weight": draw(8, 2, 1, 1), "alpha": draw()},
        "tucker": {
            "lora_down.weight": draw(2, 6, 1, 1),
            "lora_mid.weight": draw(2, 2, 3, 3),
            "lora_up.weight": draw(8, 2, 1, 1),
        },
        "loha": {
            "hada_w1_a": draw(8, 2),
            "hada_w1_b": draw(2, 54),
            "hada_w2_a": draw(8, 2),
            "hada_w2_b": draw(2, 54),
            "alpha": np.array(1, np.float32),
        },
        "lokr": {"lokr_w1": draw(2, 3), "lokr_w2": draw(4, 2, 3, 3)},
        "diff": {"diff": draw(8, 6, 3, 3), "diff_b": draw(8)},
    }


def own_delta(own: Arrays) -> F64:
    """Return the ΔW [8, 54] of one of ``kinds``, by the published formulas."""
    values = {name: value.astype(np.float64) for name, value in own.items()}
    if "lora_mid.weight" in own:
        mid, up, down = (values[f"lora_{part}.weight"] for part in ("mid", "up", "down"))
        tucker: F64 = np.einsum("mnkl,im,nj->ijkl", mid, up[..., 0, 0], down[..., 0, 0])
        return tucker.reshape(8, 54)
    if "lora_up.weight" in own:
        scale = float(values["alpha"]) / 2
        return scale * product(values["lora_up.weight"], values["lora_down.weight"])
    if "hada_w1_a" in own:
        one, two = (values[f"hada_w{i}_a"] @ values[f"hada_w{i}_b"] for i in (1, 2))
        return 0.5 * one * two
    if "lokr_w1" in own:
        kronecker = np.kron(values["lokr_w1"][..., None, None], values["lokr_w2"]).astype(np.float64)
        return kronecker.reshape(8, 54)
    return values["diff"].reshape(8, 54)


@pytest.mark.parametrize("pair_of", list(itertools.combinations_with_replacement(range(5), 2)))
@pytest.mark.parametrize("choice", [None, RankChoice(rank=8)])
def test_every_two_kinds_can_be_added(
    tmp_path: Path, pair_of: tuple[int, int], choice: RankChoice | None
) -> None:
    every = list(kinds().values())
    own = [every[pair_of[0]], list(kinds().values())[pair_of[1]]]
    files = [
        save(tmp_path / f"{i}.safetensors", {f"{KEY}.{name}": value for name, value in arrays.items()})
        for i, arrays in enumerate(own)
    ]
    numbers = (0.75, -1.5)
    found = together(tmp_path / "c.safetensors", *zip(files, numbers, strict=True), choice=choice)
    wanted = sum(number * own_delta(arrays) for number, arrays in zip(numbers, own, strict=True))
    error = np.linalg.norm(delta(found, KEY, (8, 6, 3, 3)).reshape(8, 54) - wanted)
    assert error <= 1e-6 * np.linalg.norm(wanted)
    biases = [number * own["diff_b"] for number, own in zip(numbers, own, strict=True) if "diff_b" in own]
    if biases:
        assert close(found[f"{KEY}.diff_b"], np.sum(biases, axis=0, dtype=np.float64))


@pytest.mark.parametrize("kind", kinds())
def test_a_single_file_is_multiplied(tmp_path: Path, kind: str) -> None:
    own = kinds()[kind]
    source = save(tmp_path / "a.safetensors", {f"{KEY}.{name}": value for name, value in own.items()})
    found = together(tmp_path / "c.safetensors", (source, -0.25))
    kept = [name for name in own if name not in ("alpha", "diff", "diff_b", "lokr_w1")]
    assert all(np.array_equal(found[f"{KEY}.{name}"], own[name]) for name in kept)
    change = own_delta(own)
    with with_names(tmp_path / "c.safetensors", "kohya") as (path, _):
        again = stored(path)
    if kind == "tucker":
        assert found[f"{KEY}.alpha"] == -0.5
    else:
        assert close(delta(again, KEY, (8, 6, 3, 3)).reshape(8, 54), -0.25 * change)


def test_norms_and_biases_are_added(tmp_path: Path) -> None:
    a = {f"{KEY}.w_norm": draw(5), f"{KEY}.b_norm": draw(5)}
    b = {f"{KEY}.diff": draw(5)} | {"lora_te_x.diff_b": draw(3)}
    found = together(
        tmp_path / "c.safetensors",
        (save(tmp_path / "a.safetensors", a), 2),
        (save(tmp_path / "b.safetensors", b), 1),
    )
    assert close(found[f"{KEY}.diff"], (2.0 * a[f"{KEY}.w_norm"] + b[f"{KEY}.diff"]).astype(np.float64))
    assert close(found[f"{KEY}.diff_b"], (2.0 * a[f"{KEY}.b_norm"]).astype(np.float64))
    assert np.array_equal(found["lora_te_x.diff_b"], b["lora_te_x.diff_b"])


def test_a_dora_is_copied_or_needs_the_base_model(tmp_path: Path) -> None:
    key = "lora_unet_double_blocks_0_img_attn_proj"
    dora = pair(rank=4, out=16, inner=12, key=key) | {f"{key}.dora_scale": np.abs(draw(16, 1)) + 1}
    plain = pair(rank=2, out=16, inner=12, seed=2, key=key)
    a, b = save(tmp_path / "a.safetensors", dora), save(tmp_path / "b.safetensors", plain)
    other = save(tmp_path / "o.safetensors", pair(key="lora_te1_x"))
    alone = together(tmp_path / "c.safetensors", (a, 1), (other, 2), choice=RankChoice(rank=2))
    assert np.array_equal(alone[f"{key}.dora_scale"], dora[f"{key}.dora_scale"])
    for files in (((a, 1.0), (b, 1.0)), ((a, 0.5), (other, 1.0))):
        with pytest.raises(AdapterUnknown, match="--base-model"):
            together(tmp_path / "d.safetensors", *files)
    name = "double_blocks.0.img_attn.proj.weight"
    weight = draw(16, 12)
    base = save(
        tmp_path / "base.safetensors", {name: weight, "double_blocks.0.img_mod.lin.weight": draw(2, 2)}
    )
    found = together(tmp_path / "d.safetensors", (a, 0.5), (b, 1), base=read_tensors(base).tensors)
    total = weight.astype(np.float64) + scaled_product(dora, key)
    change = dora[f"{key}.dora_scale"] * total / np.linalg.norm(total, axis=1, keepdims=True) - weight
    wanted = 0.5 * change + scaled_product(plain, key)
    assert close(delta(found, key, wanted.shape), wanted)
    left = together(tmp_path / "e.safetensors", (a, 1), (b, 1), (other, 1), force=True)
    assert set(left) == {f"lora_te1_x.{end}" for end in ("lora_up.weight", "lora_down.weight", "alpha")}


def test_a_replaced_layer(tmp_path: Path) -> None:
    norm = "diffusion_model.double_blocks.0.img_attn.norm.query_norm"
    key = "diffusion_model.double_blocks.0.img_attn.proj"
    factors = {f"{key}.lora_A.weight": draw(2, 12), f"{key}.lora_B.weight": draw(16, 2)}
    replacing = factors | {f"{norm}.scale": draw(4)}
    a = save(tmp_path / "a.safetensors", replacing)
    b = save(tmp_path / "b.safetensors", factors)
    found = together(tmp_path / "c.safetensors", (a, 0.5), (b, 0.5))
    assert np.array_equal(found[f"{norm}.scale"], replacing[f"{norm}.scale"])
    with pytest.raises(AdapterUnknown, match="replaces"):
        together(tmp_path / "d.safetensors", (a, 1), (a, 1))
    with pytest.raises(AdapterUnknown, match="none for a replaced weight"):
        together(tmp_path / "d.safetensors", (a, 1), (b, 1), scheme="kohya")


def test_types_stay_where_that_is_exact(tmp_path: Path) -> None:
    halves = [{n: v.astype(np.float16) for n, v in pair(rank=4, seed=seed).items()} for seed in (1, 2)]
    a, b = (save(tmp_path / f"{i}.safetensors", arrays) for i, arrays in enumerate(halves))
    together(tmp_path / "c.safetensors", (a, 0.7), (b, 0.7))
    same = read_tensors(tmp_path / "c.safetensors").tensors
    assert same[f"{KEY}.lora_up.weight"].kind == "F16"
    ups = [arrays[f"{KEY}.lora_up.weight"] for arrays in halves]
    assert np.array_equal(same[f"{KEY}.lora_up.weight"].values(), np.hstack(ups))
    together(tmp_path / "d.safetensors", (a, 0.7), (b, 0.6))
    assert read_tensors(tmp_path / "d.safetensors").tensors[f"{KEY}.lora_up.weight"].kind == "F32"


def test_quantised_factors(tmp_path: Path) -> None:
    source = save(tmp_path / "a.safetensors", pair() | pair(key="lora_te_x", seed=3))
    convert(source, tmp_path / "b.gguf", ["Q8_0"], PackageQuantiser())
    values = stored(tmp_path / "b.gguf")
    other = save(tmp_path / "o.safetensors", pair(rank=2, seed=2))
    for target in (tmp_path / "c.gguf", tmp_path / "c.safetensors"):
        found = together(target, (tmp_path / "b.gguf", 0.5), (other, 1))
        assert np.array_equal(found["lora_te_x.lora_up.weight"], values["lora_te_x.lora_up.weight"])
        wanted = 0.5 * scaled_product(values) + scaled_product(stored(other))
        assert close(delta(found, KEY, wanted.shape), wanted)
    assert read_tensors(tmp_path / "c.gguf").tensors["lora_te_x.lora_up.weight"].kind == "Q8_0"
    assert {t.kind for t in read_tensors(tmp_path / "c.safetensors").tensors.values()} <= SAFETENSORS


def test_what_cannot_be_combined(tmp_path: Path) -> None:
    a = save(tmp_path / "a.safetensors", pair(key="lora_unet_double_blocks_0_img_mod_lin"))
    b = save(tmp_path / "b.safetensors", pair(key="lora_unet_input_blocks_1_0_in_layers_2"))
    with pytest.raises(AdapterUnknown, match=r"it is for .*, and a.safetensors is for FLUX.1"):
        together(tmp_path / "c.safetensors", (a, 1), (b, 1))
    wide = save(tmp_path / "w.safetensors", pair(key="lora_unet_double_blocks_0_img_mod_lin", inner=48))
    with pytest.raises(AdapterUnknown, match=r"\[64, 96\] and \[64, 48\]"):
        together(tmp_path / "c.safetensors", (a, 1), (wide, 1))
    with pytest.raises(AdapterUnknown, match="every multiplier is 0"):
        together(tmp_path / "c.safetensors", (a, 0))
    with pytest.raises(OutputRefused, match="the output is the input"):
        together(wide, (a, 1), (wide, 1))
    strange = save(tmp_path / "s.safetensors", pair() | {"emb_params": draw(3)})
    with pytest.raises(AdapterUnknown, match=r"emb_params: a tensor of s.safetensors is not understood"):
        together(tmp_path / "c.safetensors", (strange, 1))
    values = pair()
    values[f"{KEY}.lora_up.weight"][0, 0] = np.nan
    nan = save(tmp_path / "n.safetensors", values)
    with pytest.raises(AdapterUnknown, match="NaN"):
        together(tmp_path / "c.safetensors", (nan, 1), (nan, 1))
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{n}.safetensors" for n in "abnsw"]
