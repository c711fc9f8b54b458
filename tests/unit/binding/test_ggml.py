from __future__ import annotations

import ctypes
from collections.abc import Callable

import pytest

from sdcpp.binding import ggml, library
from sdcpp.binding.build_folder import Build
from sdcpp.binding.library import Library
from sdcpp.errors import LibraryUnusable


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
    values, blocks = (ctypes.c_float * 8)(*range(8)), ctypes.create_string_buffer(8)
    ggml.quantise_rows(
        loaded_library,
        8,
        source=ctypes.addressof(values),
        target=ctypes.addressof(blocks),
        rows=2,
        columns=4,
        importance=None,
    )
    assert blocks.raw == bytes(range(8))
