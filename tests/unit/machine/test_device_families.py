"""Tests of the prefixes of device names."""

from __future__ import annotations

import pytest

from sdcpp.machine import backends, device_families


def test_every_backend_has_its_names_and_no_name_is_unknown_to_the_backends() -> None:
    assert set(device_families.FAMILIES) == set(backends.BACKENDS)


def test_a_device_of_another_kind_has_no_backend() -> None:
    assert device_families.backend_of("OpenCL0") is None


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("CPU", "cpu"),
        ("CUDA0", "cuda"),
        ("Vulkan1", "vulkan"),
        ("MTL0", "metal"),
        ("Metal", "metal"),
        ("ROCm0", "rocm"),
        ("SYCL0", "sycl"),
    ],
)
def test_devices_are_recognised(device: str, name: str) -> None:
    assert device_families.backend_of(device) == name
