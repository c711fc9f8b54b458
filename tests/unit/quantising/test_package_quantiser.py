from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import quants

from harness.formats.read import read_tensors
from harness.formats.write import Spec, write_container
from harness.quantising.library_quantiser import LibraryQuantiser
from harness.quantising.package_quantiser import PackageQuantiser, open_quantiser
from harness.quantising.quantiser import RowsNotFinite
from sdcpp.binding.build_folder import Build
from sdcpp.errors import TypeUnavailable

VALUES = np.random.default_rng(1).standard_normal((3, 64)).astype(np.float32)


def test_each_of_its_types_has_the_bytes_that_it_says_and_is_near_the_values() -> None:
    quantiser = PackageQuantiser()
    for name, info in quantiser.types().items():
        blocks = quantiser.nearest(VALUES.repeat(4, axis=1), name)
        assert blocks.shape == (3, 256 // info.block * info.bytes), name
        again, values = quantiser.nearest_with_values(VALUES.repeat(4, axis=1), name)
        assert np.array_equal(again, blocks)
        assert np.array_equal(values, quantiser.dequantise(blocks, name))
        error = np.square(values - VALUES.repeat(4, axis=1)).mean()
        assert error < (0.5 if name.startswith("TQ") else 0.03), name


@pytest.mark.parametrize("name", PackageQuantiser.NAMES)
def test_thin_rows_in_several_pieces_have_the_bytes_of_the_package(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.quantising.package_quantiser.DECODED", 1 << 12)
    monkeypatch.setattr("harness.formats.tensor.DECODED", 1 << 12)
    quantiser = PackageQuantiser()
    row = quantiser.info(name).block
    values = np.random.default_rng(3).standard_normal((3 * 4096 // row + 5, row)).astype(np.float32)
    kind = gguf.GGMLQuantizationType[name]
    blocks = quantiser.quantise(values, name)
    assert np.array_equal(blocks, quants.quantize(values, kind))
    assert np.array_equal(quantiser.dequantise(blocks, name), quants.dequantize(blocks, kind))


def test_rows_that_are_not_whole_blocks_are_refused() -> None:
    with pytest.raises(TypeUnavailable, match="rows of 48 are not whole blocks of 32"):
        PackageQuantiser().quantise(np.zeros((2, 48)), "Q8_0")


def test_a_type_that_only_a_library_can_make() -> None:
    with pytest.raises(TypeUnavailable, match="only a built library"):
        PackageQuantiser().quantise(VALUES, "IQ2_XXS")
    with pytest.raises(TypeUnavailable, match="cannot decode a type: Q1_0"):
        PackageQuantiser().dequantise(np.zeros((1, 18), np.uint8), "Q1_0")


def test_tensors_are_written_as_blocks_unless_they_are_not_finite(tmp_path: Path) -> None:
    values, target = VALUES.copy(), tmp_path / "blocks"
    target.write_bytes(bytes(5))
    for number in (1.0, np.nan):
        values[2, 1] = number
        spec = Spec(name="x", shape=values.shape, kind="F32")
        data = values.reshape(-1).view(np.uint8)
        write_container(tmp_path / "a.safetensors", "safetensors", [spec], {}, lambda *_, data=data: [data])
        [tensor] = read_tensors(tmp_path / "a.safetensors").tensors.values()
        if np.isfinite(number):
            with PackageQuantiser().into(target) as take:
                take(tensor, "Q8_0", 5)
            assert target.read_bytes()[5:] == PackageQuantiser().quantise(values, "Q8_0").tobytes()
        else:
            with pytest.raises(RowsNotFinite), PackageQuantiser().into(target) as take:
                take(tensor, "Q8_0", 5)


@pytest.mark.usefixtures("cache_folder")
def test_a_build_is_opened_and_without_one_the_package(fake_build: Callable[..., Build]) -> None:
    with open_quantiser(fake_build("C").folder) as quantiser:
        assert isinstance(quantiser, LibraryQuantiser)
        assert quantiser.folder == fake_build("C").folder
    with open_quantiser() as quantiser:
        assert isinstance(quantiser, PackageQuantiser)
