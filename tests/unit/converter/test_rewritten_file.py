from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.adapters import definitions
from harness.converter.convert import convert
from harness.converter.revision_limits import limits
from harness.converter.rewriting import Rewriting
from harness.converter.rewritten_file import for_limits, with_names
from harness.formats.read import read_tensors
from harness.quantising.package_quantiser import PackageQuantiser
from sdcpp.errors import AdapterUnknown, TypeUnavailable
from tests.unit.converter.lora_files import Arrays, pair, save
from tests.unit.converter.rewritten_tensors import F64, close, delta, draw, product, stored

PROJ, PUBLISHED = "lora_unet_double_blocks_0_img_attn_proj", "diffusion_model.double_blocks.0.img_attn.proj"


def test_a_quantised_file_keeps_its_blocks_under_other_names(tmp_path: Path) -> None:
    source = save(tmp_path / "a.safetensors", pair(key=PROJ))
    convert(source, tmp_path / "a.gguf", ["Q8_0"], PackageQuantiser())
    with with_names(tmp_path / "a.gguf", "comfy") as (path, found):
        assert path.suffix == ".gguf"
        assert found.done == {"renamed": 1}
        before, after = stored(tmp_path / "a.gguf"), stored(path)
    up = before[f"{PROJ}.lora_up.weight"]
    assert np.array_equal(after[f"{PUBLISHED}.lora_B.weight"], up)
    assert not path.exists()


def test_a_quantised_file_becomes_float_for_a_revision(tmp_path: Path) -> None:
    source = save(tmp_path / "a.safetensors", pair(key=PROJ))
    convert(source, tmp_path / "a.gguf", ["Q8_0"], PackageQuantiser())
    with for_limits(tmp_path / "a.gguf", tmp_path / "b.gguf", limits("2026-05")) as (path, _):
        before, after = stored(tmp_path / "a.gguf"), stored(path)
    wanted = 0.5 * product(before[f"{PROJ}.lora_up.weight"], before[f"{PROJ}.lora_down.weight"])
    assert path.suffix == ".safetensors"
    assert close(delta(after, PUBLISHED, wanted.shape), wanted)


def test_a_container_or_a_type_that_the_revision_cannot_use_is_refused(tmp_path: Path) -> None:
    source = save(tmp_path / "a.safetensors", pair(key=PROJ))
    for target, types, what in (
        (tmp_path / "b.gguf", (), "cannot use such a file in every mode .*A GGUF LoRA is not found"),
        (tmp_path / "b.safetensors", ("Q8_0",), "cannot use this type in every mode"),
    ):
        with (
            pytest.raises(TypeUnavailable, match=what),
            for_limits(source, target, limits("2025-12"), types=types),
        ):
            pass


def test_what_cannot_be_had_is_refused_or_left_out(tmp_path: Path) -> None:
    norm = "transformer.transformer_blocks.0.attn.norm_q"
    source = save(tmp_path / "a.safetensors", pair(key=PROJ) | {f"{norm}.diff": np.ones(8, np.float32)})
    target = tmp_path / "b.safetensors"
    with (
        pytest.raises(AdapterUnknown, match="Differences of norms have no effect"),
        for_limits(source, target, limits("2026-05")),
    ):
        pass
    with for_limits(source, target, limits("2026-05"), force=True) as (path, found):
        assert set(stored(path)) == {
            f"{PUBLISHED}{end}" for end in (".lora_down.weight", ".lora_up.weight", ".alpha")
        }
        assert len(found.left_out) == 1


def test_a_module_without_a_name_in_the_scheme(tmp_path: Path) -> None:
    source = save(tmp_path / "a.safetensors", pair(key="lora_te2_layers_0_self_attn_q_proj"))
    with (
        pytest.raises(AdapterUnknown, match="1 module cannot be written with the names of comfy"),
        with_names(source, "comfy"),
    ):
        pass


DORA = "diffusion_model.double_blocks.0.img_attn.proj"
KERNEL = "lora_unet_down_blocks_0_resnets_0_conv1"


def shortened(folder: Path, arrays: Arrays, base: Arrays | None = None) -> tuple[dict[str, F64], Rewriting]:
    """Return the tensors of a file for a revision whose full differences have rank 3, and what was done."""
    source, target = save(folder / "a.safetensors", arrays), folder / "b.safetensors"
    model = read_tensors(save(folder / "base.safetensors", base)).tensors if base else None
    with for_limits(source, target, limits("2026-05"), base=model, rank=3) as (path, found):
        return stored(path), found


def error_of(found: F64, wanted: F64) -> tuple[float, float]:
    """Return the error of a matrix, and the smallest one that a matrix of rank 3 can have."""
    sigma = np.linalg.svd(wanted.reshape(len(wanted), -1), compute_uv=False)
    return float(np.linalg.norm(found - wanted)), float(np.sqrt(np.sum(sigma[3:] ** 2)))


def test_a_dora_with_a_rank(tmp_path: Path) -> None:
    key = "lora_unet_double_blocks_0_img_attn_proj"
    dora = pair(rank=4, out=16, inner=12, key=key) | {f"{key}.dora_scale": np.abs(draw(16, 1))}
    weight = draw(16, 12)
    after, done = shortened(tmp_path, dora, {"double_blocks.0.img_attn.proj.weight": weight})
    total = weight + 0.5 * product(dora[f"{key}.lora_up.weight"], dora[f"{key}.lora_down.weight"])
    wanted = dora[f"{key}.dora_scale"] * total / np.linalg.norm(total, axis=1, keepdims=True) - weight
    error, best = error_of(delta(after, DORA, (16, 12)), wanted)
    assert error == pytest.approx(best, rel=1e-4)
    assert done.summary == (
        "1 module made into a plain pair of rank 3; relative error of the ΔW with a new rank "
        f"{best / np.linalg.norm(wanted):.3%}"
    )


def test_a_lokr_of_a_convolution_with_a_rank(tmp_path: Path) -> None:
    factors = {"lokr_w1": draw(2, 2), "lokr_w2": draw(4, 3, 3, 3)}
    after, _ = shortened(tmp_path, {f"{KERNEL}.{name}": value for name, value in factors.items()})
    wanted = definitions.lokr(
        {name: value.astype(np.float64) for name, value in factors.items()}, (8, 6, 3, 3)
    )
    assert after[f"{KERNEL}.lora_down.weight"].shape == (3, 6, 3, 3)
    error, best = error_of(delta(after, KERNEL, (8, 6, 3, 3)), wanted)
    assert error == pytest.approx(best, rel=1e-4)


def test_a_stored_difference_stays_one(tmp_path: Path) -> None:
    value = draw(8, 6, 3, 3)
    after, done = shortened(tmp_path, {f"{KERNEL}.diff": value})
    assert np.array_equal(after[f"{KERNEL}.diff"], value)
    assert done.shortened == []
