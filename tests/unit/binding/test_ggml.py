from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable

import pytest

from sdcpp.binding import ggml, library
from sdcpp.binding.build_folder import Build
from sdcpp.binding.library import Library
from sdcpp.errors import FileInvalid, LibraryUnusable


@pytest.fixture
def loaded_library(fake_build: Callable[..., Build]) -> Library:
    """Return the fake library of generation C, loaded."""
    return library.load(fake_build("C"))


def test_devices_are_those_that_ggml_lists(loaded_library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ggml.devices(loaded_library) == (
        ggml.GgmlDevice(name="CPU", description="Fake device", kind="cpu", registry="CPU"),
    )
    monkeypatch.setenv("FAKE_DEVICES", "CUDA0")
    assert [device.kind for device in ggml.devices(loaded_library)] == ["gpu"]
    monkeypatch.setenv("FAKE_DEVICES", "")
    assert ggml.devices(loaded_library) == ()


def test_a_revision_that_cannot_be_asked_lists_no_devices(
    loaded_library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded_library, "handle", ctypes.CDLL(None))
    assert ggml.devices(loaded_library) == ()
    with pytest.raises(LibraryUnusable, match="ggml_type_name is not exported"):
        ggml.tensor_type(loaded_library, 8)


def test_a_type_is_described(loaded_library: Library) -> None:
    assert ggml.tensor_type(loaded_library, 8) == ggml.TensorType(
        name="fake_8", block_size=4, type_size=4, quantised=True, needs_imatrix=False
    )


def test_the_library_quantises_rows(loaded_library: Library) -> None:
    assert ggml.quantise(loaded_library, 8, struct.pack("8f", *range(8)), 4) == bytes(range(8))


@pytest.mark.parametrize(("number", "count", "row"), [(8, 8, 2), (8, 6, 4), (9, 4, 4)])
def test_what_cannot_be_quantised_is_refused(
    loaded_library: Library, number: int, count: int, row: int
) -> None:
    with pytest.raises(FileInvalid, match="cannot be quantised"):
        ggml.quantise(loaded_library, number, bytes(4 * count), row)
