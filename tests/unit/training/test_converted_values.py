from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.converter.convert import convert
from harness.formats.read import read_tensors
from harness.formats.tensor import SIZES
from harness.quantising.package_quantiser import PackageQuantiser
from harness.studies.conversion import sample_adapter
from harness.training.converted_values import Converted, Factor, converted_values
from sdcpp.errors import FileInvalid, TypeUnavailable
from tests.unit.converter.lora_files import Arrays, pair, save


def made(arrays: Arrays, types: list[str], kind: str = "F32") -> dict[str, Converted]:
    factors = [
        Factor(name=name, shape=array.shape, kind=kind, content=array)
        for name, array in arrays.items()
        if array.ndim
    ]
    return converted_values(factors, types, PackageQuantiser())


def read_back(source: Path, types: list[str]) -> Arrays:
    """Convert a file as the command does, and return what a reader gets."""
    target = source.with_suffix(".gguf")
    convert(source, target, types, PackageQuantiser())
    return {name: tensor.values() for name, tensor in read_tensors(target).tensors.items()}


def same_bits(found: dict[str, Converted], wanted: Arrays) -> bool:
    return all(
        np.array_equal(one.values.view(np.uint32), wanted[name].astype(np.float32).view(np.uint32))
        for name, one in found.items()
    )


@pytest.mark.parametrize("kind", [*PackageQuantiser.NAMES, "F16", "BF16", "F32"])
def test_the_values_are_those_of_the_converted_file_to_the_bit(tmp_path: Path, kind: str) -> None:
    rank, generator = max(32, SIZES[kind][0]), np.random.default_rng(1)
    shapes = {
        "a.lora_down": (rank, 512),
        "a.lora_up": (96, rank),
        "b.lora_down": (rank, 256),
        "b.lora_up": (64, rank),
    }
    arrays = {
        f"lora_unet_{name}.weight": generator.standard_normal(shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    found = made(arrays, [kind])
    assert {one.kind for one in found.values()} == {kind}
    assert same_bits(found, read_back(save(tmp_path / "a.safetensors", arrays), [kind]))


@pytest.mark.parametrize("saved", ["F16", "BF16"])
def test_the_values_are_rounded_to_the_type_of_the_trainers_file_first(tmp_path: Path, saved: str) -> None:
    arrays = pair()
    sample_adapter.write(tmp_path / "a.safetensors", arrays, saved)
    found = made(arrays, ["Q4_0"], saved)
    assert same_bits(found, read_back(tmp_path / "a.safetensors", ["Q4_0"]))
    assert not same_bits(found, read_back(save(tmp_path / "b.safetensors", arrays), ["Q4_0"]))


@pytest.mark.parametrize(
    ("types", "up", "why"),
    [
        (["TQ1_0"], "F16", "rows of 32 are not whole blocks of 256 (TQ1_0)"),
        (["TQ1_0", "Q4_0"], "Q4_0", "as requested"),
        (["TQ1_0", "F32"], "F32", "rows of 32 are not whole blocks of 256 (TQ1_0)"),
    ],
)
def test_short_rows_get_the_type_that_the_converter_gives_them(
    tmp_path: Path, types: list[str], up: str, why: str
) -> None:
    arrays = pair(inner=256)
    found = made(arrays, types)
    assert found["lora_unet_block_proj.lora_down.weight"].kind == "TQ1_0"
    assert found["lora_unet_block_proj.lora_up.weight"].kind == up
    assert found["lora_unet_block_proj.lora_up.weight"].why == why
    assert same_bits(found, read_back(save(tmp_path / "a.safetensors", arrays), types))


def test_values_beyond_f16_stay_f32(tmp_path: Path) -> None:
    arrays = pair(rank=16)
    arrays["lora_unet_block_proj.lora_up.weight"][0, 0] = 70_000
    found = made(arrays, ["Q8_0"])
    assert found["lora_unet_block_proj.lora_up.weight"].kind == "F32"
    assert same_bits(found, read_back(save(tmp_path / "a.safetensors", arrays), ["Q8_0"]))


def test_kernels_keep_their_shape() -> None:
    kernel = np.random.default_rng(1).standard_normal((4, 32, 3, 3)).astype(np.float32)
    [one] = made({"a.lora_down.weight": kernel}, ["Q8_0"]).values()
    assert (one.kind, one.values.shape) == ("F16", kernel.shape)


def test_values_that_cannot_be_quantised_are_refused() -> None:
    arrays = pair()
    with pytest.raises(TypeUnavailable, match="Q9_9"):
        made(arrays, ["Q9_9"])
    arrays["lora_unet_block_proj.lora_up.weight"][3, 4] = np.nan
    with pytest.raises(FileInvalid, match=r"factor lora_unet_block_proj\.lora_up\.weight: NaN or infinity"):
        made(arrays, ["Q8_0"])
