"""Types that no available quantiser can make: each command refuses them before it writes a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.converter import table, type_choice
from harness.converter.cast import cast
from harness.converter.convert import convert
from harness.converter.merge_into_base import WeightedAdapter, merge
from harness.formats.read import read_tensors
from harness.formats.tensor import SIZES, decoded
from harness.formats.write import Spec, container_of, write_container
from harness.quantising.package_quantiser import PackageQuantiser
from sdcpp.errors import FileInvalid, TypeUnavailable
from tests.unit.converter.lora_files import KEY, dense, pair, save

WEIGHT = "model.diffusion_model.block.proj.weight"
#: The package can decode these types, but it cannot quantise to them.
UNAVAILABLE = ("Q2_K", "Q4_K", "Q6_K", "IQ4_NL")


def save_blocks(path: Path, shapes: dict[str, tuple[int, ...]], kinds: dict[str, str]) -> Path:
    """Write tensors of zeros, of type F32 or of ``kinds`` by name."""
    specs = [Spec(name=name, shape=shape, kind=kinds.get(name, "F32")) for name, shape in shapes.items()]
    write_container(path, container_of(path), specs, {}, lambda spec, _at: [np.zeros(spec.nbytes, np.uint8)])
    return path


def base(path: Path, kind: str, inner: int = 256) -> Path:
    return save_blocks(
        path, {WEIGHT: (64, inner), "other.weight": (64, 256)}, {WEIGHT: kind, "other.weight": kind}
    )


@pytest.mark.parametrize("kind", UNAVAILABLE)
@pytest.mark.parametrize("quantiser", [PackageQuantiser(), None], ids=["package", "none"])
def test_merging_is_refused_if_a_changed_weight_cannot_be_quantised_again(
    tmp_path: Path, kind: str, quantiser: PackageQuantiser | None
) -> None:
    model = base(tmp_path / "base.gguf", kind)
    adapters = [WeightedAdapter(path=save(tmp_path / "a.safetensors", pair(inner=256)))]
    before = sorted(tmp_path.iterdir())
    with pytest.raises(TypeUnavailable, match=rf"{WEIGHT}.*: {kind}; run sdcpp build first, or choose"):
        merge(model, adapters, tmp_path / "m.gguf", (), quantiser)
    assert sorted(tmp_path.iterdir()) == before
    # The advice of the message works, and so does a container without quantised types.
    merge(model, adapters, tmp_path / "m.gguf", ["F16"], quantiser)
    merge(model, adapters, tmp_path / "m.safetensors", (), quantiser)
    assert read_tensors(tmp_path / "m.gguf").tensors[WEIGHT].kind == "F16"
    assert read_tensors(tmp_path / "m.safetensors").tensors[WEIGHT].kind == "F32"


def test_merging_is_refused_if_a_weight_keeps_an_unavailable_type(tmp_path: Path) -> None:
    # Rows of 96 are not whole blocks of TQ1_0, so the weight stays IQ4_NL, which has blocks of 32.
    model = base(tmp_path / "base.gguf", "IQ4_NL", inner=96)
    adapters = [WeightedAdapter(path=save(tmp_path / "a.safetensors", pair()))]
    with pytest.raises(TypeUnavailable, match="IQ4_NL; run sdcpp build first"):
        merge(model, adapters, tmp_path / "m.gguf", ["TQ1_0"], PackageQuantiser())
    merge(model, adapters, tmp_path / "m.gguf", ["TQ1_0", "Q8_0"], PackageQuantiser())
    assert read_tensors(tmp_path / "m.gguf").tensors[WEIGHT].kind == "Q8_0"


@pytest.mark.parametrize("kind", UNAVAILABLE)
def test_unchanged_tensors_of_an_unavailable_type_are_copied(tmp_path: Path, kind: str) -> None:
    model = base(tmp_path / "base.gguf", kind)
    convert(model, tmp_path / "copy.gguf", (), PackageQuantiser(), force=True)
    found = read_tensors(tmp_path / "copy.gguf").tensors["other.weight"]
    assert (found.kind, found.nbytes) == (kind, 64 * 256 // SIZES[kind][0] * SIZES[kind][1])


@pytest.mark.parametrize(("rank", "pad"), [(256, False), (250, True)])
def test_rebalancing_does_not_change_a_factor_that_cannot_be_quantised_again(
    tmp_path: Path, rank: int, pad: bool
) -> None:
    # Rows of 96 are not whole blocks of TQ1_0, so down stays IQ4_NL. Up can become TQ1_0, if necessary with padding.
    down, up = f"{KEY}.lora_down.weight", f"{KEY}.lora_up.weight"
    source = save_blocks(tmp_path / "a.gguf", {down: (rank, 96), up: (64, rank)}, {down: "IQ4_NL"})
    convert(source, tmp_path / "b.gguf", ["TQ1_0"], PackageQuantiser(), rebalance=True, pad=pad)
    found = read_tensors(tmp_path / "b.gguf").tensors
    assert (found[down].kind, found[down].shape) == ("IQ4_NL", (rank, 96))
    assert found[up].kind == ("F16" if pad else "TQ1_0")


def test_the_types_to_choose_from_must_be_available(tmp_path: Path) -> None:
    source = save(tmp_path / "a.safetensors", pair())
    for name in ("Q2_K", "Q9_Z"):
        with pytest.raises(TypeUnavailable, match=rf"{name}; choose one of F64, F32, F16, BF16, Q4_0"):
            type_choice.convert_within_loss(
                source, tmp_path / "b.gguf", 0.05, PackageQuantiser(), ["Q8_0", name]
            )
    assert not (tmp_path / "b.gguf").exists()
    choice = type_choice.convert_within_loss(source, tmp_path / "b.gguf", 1e-6, PackageQuantiser(), ["F32"])
    assert choice.measured == 0


def test_the_table_has_the_available_types(tmp_path: Path) -> None:
    source = save(tmp_path / "a.safetensors", pair())
    rows = table.type_rows(source, PackageQuantiser())
    assert {row.kind for of_type in rows for row in of_type} == {
        "F16",
        "Q8_0",
        "Q5_1",
        "Q5_0",
        "Q4_1",
        "Q4_0",
        "MXFP4",
    }
    with pytest.raises(TypeUnavailable, match="Q2_K; choose one of"):
        next(table.type_rows(source, PackageQuantiser(), ["Q8_0", "Q2_K,Q4_0"]))


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2", "F16", "BF16"])
def test_merging_into_small_float_types_keeps_the_type(tmp_path: Path, kind: str) -> None:
    weight = np.random.default_rng(5).standard_normal((64, 96))
    stored = decoded(cast(weight, kind), kind).reshape(weight.shape)
    model = tmp_path / "base.safetensors"
    spec = Spec(name=WEIGHT, shape=weight.shape, kind=kind)
    write_container(model, "safetensors", [spec], {}, lambda *_: [cast(weight, kind)])
    adapter = save(tmp_path / "a.safetensors", pair())
    merge(model, [WeightedAdapter(path=adapter)], tmp_path / "m.safetensors")
    found = read_tensors(tmp_path / "m.safetensors").tensors[WEIGHT]
    assert found.kind == kind
    assert np.array_equal(found.raw(), cast(stored + dense(adapter)[KEY], kind))


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2", "F16"])
def test_merged_values_beyond_the_range_of_the_type_are_refused(tmp_path: Path, kind: str) -> None:
    model = save(tmp_path / "base.safetensors", {WEIGHT: np.zeros((64, 96), np.float16)})
    if kind != "F16":
        spec = Spec(name=WEIGHT, shape=(64, 96), kind=kind)
        write_container(model, "safetensors", [spec], {}, lambda *_: [np.zeros(64 * 96, np.uint8)])
    adapters = [WeightedAdapter(path=save(tmp_path / "a.safetensors", pair()), multiplier=1e9)]
    with pytest.raises(FileInvalid, match=f"beyond the range of {kind}.*choose a wider --type"):
        merge(model, adapters, tmp_path / "m.safetensors")
    assert not (tmp_path / "m.safetensors").exists()
    merge(model, adapters, tmp_path / "m.safetensors", ["BF16"])
