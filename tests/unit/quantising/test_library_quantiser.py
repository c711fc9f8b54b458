"""The child process with the stand-in library, whose type FAKE_8 makes one signed byte of each value."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.formats.read import read_tensors
from harness.formats.write import Spec, write_container
from harness.quantising import library_quantiser
from harness.quantising.library_quantiser import LibraryQuantiser
from harness.quantising.quantiser import RowsNotFinite
from harness.quantising.type_info import TypeInfo
from sdcpp.binding.build_folder import Build
from sdcpp.errors import LibraryUnusable, TypeUnavailable

#: The first row is nearer to whole numbers when cut off, the second when rounded.
VALUES = np.array([[1.2, -2.1, 3.0, 4.4], [1.9, -2.8, 3.0, 4.6]], np.float32)
CUT_OFF, ROUNDED = [[1, -2, 3, 4], [1, -2, 3, 4]], [[1, -2, 3, 4], [2, -3, 3, 5]]


@pytest.fixture
def quantiser(fake_build: Callable[..., Build]) -> Iterator[LibraryQuantiser]:
    with LibraryQuantiser(fake_build("C").folder, threads=2) as quantiser:
        yield quantiser


def save(path: Path, values: np.ndarray[tuple[int, int], np.dtype[np.floating]], kind: str) -> Path:
    spec = Spec(name="x", shape=values.shape, kind=kind)
    write_container(path, "safetensors", [spec], {}, lambda *_: [values.reshape(-1).view(np.uint8)])
    return path


def test_types_that_the_library_lists_but_cannot_make_are_left_out(quantiser: LibraryQuantiser) -> None:
    quantiser.begin()
    assert list(quantiser.types()) == ["FAKE_8"]
    info = quantiser.info("FAKE_8")
    assert (info.number, info.block, info.bytes, info.bits, info.needs_imatrix) == (8, 4, 4, 8, False)
    with pytest.raises(TypeUnavailable, match="DEAD"):
        quantiser.info("DEAD")
    with pytest.raises(TypeUnavailable, match="whole blocks"):
        quantiser.quantise(VALUES[:, :3], "FAKE_8")


def test_blocks_and_values_pass_through_shared_memory(quantiser: LibraryQuantiser) -> None:
    assert quantiser.quantise(VALUES, "FAKE_8").view(np.int8).tolist() == CUT_OFF
    assert quantiser.quantise(VALUES, "FAKE_8", np.ones(4)).view(np.int8).tolist() == ROUNDED
    blocks = quantiser.nearest(VALUES, "FAKE_8")
    assert blocks.view(np.int8).tolist() == ROUNDED
    assert quantiser.dequantise(blocks, "FAKE_8").tolist() == ROUNDED
    again, values = quantiser.nearest_with_values(VALUES, "FAKE_8")
    assert again.tolist() == blocks.tolist()
    assert values.dtype == np.float32
    assert values.tolist() == ROUNDED
    # More than the memory that the child has mapped so far, and more than one chunk.
    many = np.arange(1 << 21, dtype=np.float32).reshape(-1, 4) % 100
    assert np.array_equal(quantiser.dequantise(quantiser.quantise(many, "FAKE_8"), "FAKE_8"), many)
    assert np.array_equal(quantiser.nearest_with_values(many, "FAKE_8")[1], many)


@pytest.fixture(params=[library_quantiser.SYNCHRONISED, 1])
def _synchronised(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the child at the end only, and after every tensor."""
    monkeypatch.setattr(library_quantiser, "SYNCHRONISED", request.param)


@pytest.mark.usefixtures("_synchronised")
@pytest.mark.parametrize(("kind", "dtype"), [("F32", np.float32), ("F64", np.float64)])
def test_tensors_go_from_file_to_file(
    quantiser: LibraryQuantiser, tmp_path: Path, kind: str, dtype: type[np.floating]
) -> None:
    [tensor] = read_tensors(save(tmp_path / "a.safetensors", VALUES.astype(dtype), kind)).tensors.values()
    target = tmp_path / "blocks"
    target.write_bytes(bytes(3))
    with quantiser.into(target) as take:
        take(tensor, "FAKE_8", 3)
        take(tensor, "FAKE_8", 3 + tensor.size)
    assert np.fromfile(target, np.int8, offset=3).reshape(2, 2, 4).tolist() == [ROUNDED, ROUNDED]


@pytest.mark.usefixtures("_synchronised")
@pytest.mark.parametrize(("kind", "dtype"), [("F32", np.float32), ("F64", np.float64)])
def test_rows_that_are_not_finite_are_named(
    quantiser: LibraryQuantiser, tmp_path: Path, kind: str, dtype: type[np.floating]
) -> None:
    values = VALUES.astype(dtype)
    [good] = read_tensors(save(tmp_path / "a.safetensors", values, kind)).tensors.values()
    values[1, 2] = np.nan
    [bad] = read_tensors(save(tmp_path / "b.safetensors", values, kind)).tensors.values()
    target = tmp_path / "blocks"
    target.touch()
    with contextlib.ExitStack() as stack:
        caught = stack.enter_context(pytest.raises(RowsNotFinite))
        take = stack.enter_context(quantiser.into(target))
        for number, tensor in enumerate((good, bad, good)):
            take(tensor, "FAKE_8", 8 * number)
    assert caught.value.piece.tensor == bad
    with quantiser.into(target) as take:
        take(good, "FAKE_8", 0)


def test_a_file_that_cannot_be_written(quantiser: LibraryQuantiser, tmp_path: Path) -> None:
    [tensor] = read_tensors(save(tmp_path / "a.safetensors", VALUES, "F32")).tensors.values()
    with pytest.raises(FileNotFoundError), quantiser.into(tmp_path / "none") as take:
        take(tensor, "FAKE_8", 0)


class WithDeadType(LibraryQuantiser):
    """Takes the type for one that the library can make."""

    def info(self, name: str) -> TypeInfo:
        info = super().info("FAKE_8")
        return replace(info, name="DEAD", number=10) if name == "DEAD" else info


def test_a_crash_is_an_error_and_the_next_call_starts_another_child(
    fake_build: Callable[..., Build], tmp_path: Path
) -> None:
    [tensor] = read_tensors(save(tmp_path / "a.safetensors", VALUES, "F32")).tensors.values()
    (tmp_path / "blocks").touch()
    crash = r"crashed while quantising \(SIGABRT: .*GGML_ASSERT\(false\) failed\)"
    with WithDeadType(fake_build("C").folder) as quantiser:
        for _ in range(2):
            with pytest.raises(LibraryUnusable, match=crash) as caught:
                quantiser.quantise(VALUES, "DEAD")
            assert caught.value.subject == "DEAD"
            assert quantiser.quantise(VALUES, "FAKE_8").shape == (2, 4)
            with pytest.raises(LibraryUnusable, match=crash), quantiser.into(tmp_path / "blocks") as take:
                take(tensor, "DEAD", 0)


def test_an_error_of_the_child_at_its_start_is_raised_here(tmp_path: Path) -> None:
    with LibraryQuantiser(tmp_path) as quantiser, pytest.raises(LibraryUnusable, match="no build record"):
        quantiser.types()


def test_an_interrupted_request_leaves_no_child_that_still_writes(
    quantiser: LibraryQuantiser, tmp_path: Path
) -> None:
    [tensor] = read_tensors(save(tmp_path / "a.safetensors", VALUES, "F32")).tensors.values()
    (tmp_path / "blocks").touch()
    with contextlib.suppress(KeyboardInterrupt), quantiser.into(tmp_path / "blocks") as take:
        take(tensor, "FAKE_8", 0)
        raise KeyboardInterrupt
    os.truncate(tmp_path / "blocks", 0)
    assert quantiser.quantise(VALUES, "FAKE_8").shape == (2, 4)
    assert (tmp_path / "blocks").stat().st_size == 0
