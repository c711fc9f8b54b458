from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sdcpp.machine import devices
from sdcpp.machine.devices import HostDevice

SUMMARY = """
Devices:
========
GPU0:
\tapiVersion         = 1.4.312
\tdriverVersion      = 580.159.4.0
\tdeviceType         = PHYSICAL_DEVICE_TYPE_DISCRETE_GPU
\tdeviceName         = A card
\tdriverName         = NVIDIA
\tdriverInfo         = 580.159.04
GPU1:
\tapiVersion         = 4206830 (1.3.238)
\tdriverVersion      = 1 (0x0001)
\tdeviceType         = PHYSICAL_DEVICE_TYPE_CPU
\tdeviceName         = llvmpipe (LLVM 15.0.6, 256 bits)
\tdriverName         = llvmpipe
\tdriverInfo         = Mesa 22.3.6 (LLVM 15.0.6)
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str, int], None]]:
    """Return a function that creates a program with this name, output and status, and puts it first on PATH."""

    def make(name: str, answer: str, status: int = 0) -> None:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\nexit {status}\n", encoding="utf-8")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    devices.nvidia.cache_clear()
    devices.vulkan.cache_clear()
    yield make
    devices.nvidia.cache_clear()
    devices.vulkan.cache_clear()


def test_vulkan_devices_are_read_from_either_spelling_of_the_summary() -> None:
    card, software = devices.parse_vulkan(SUMMARY)
    assert card == HostDevice(
        name="A card", driver="NVIDIA 580.159.04", ability="Vulkan 1.4.312, discrete gpu"
    )
    assert not card.software
    assert software.name == "llvmpipe (LLVM 15.0.6, 256 bits)"
    assert software.driver == "Mesa 22.3.6 (LLVM 15.0.6)"
    assert software.ability == "Vulkan 1.3.238, cpu"
    assert software.software


def test_cards_and_their_architectures(program: Callable[..., None]) -> None:
    program(
        "nvidia-smi", "NVIDIA H200, 580.159.04, 9.0\nNVIDIA A40, 580.159.04, 8.6\nNVIDIA A40, 580.159.04, 8.6"
    )
    assert devices.nvidia()[0] == HostDevice(
        name="NVIDIA H200", driver="NVIDIA 580.159.04", ability="compute capability 9.0"
    )
    assert devices.architectures() == "86;90"


def test_a_program_that_fails_names_no_device(program: Callable[..., None]) -> None:
    program("nvidia-smi", "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver", 9)
    program("vulkaninfo", SUMMARY, 1)
    assert devices.nvidia() == ()
    assert devices.vulkan() == ()


def test_the_processor_has_a_name() -> None:
    [found] = devices.processor()
    assert found.name


def test_processors_of_several_cores_on_any_architecture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "cpuinfo"
    monkeypatch.setattr(devices, "_CPUINFO", info)
    assert devices.processor_lines() == []
    core = "processor\t: {}\nmodel name\t: A processor\ncpu MHz\t\t: {}\nflags\t\t: fpu avx2\n\n"
    info.write_text(core.format(0, 2000) + core.format(1, 2100))
    assert devices.processor() == (HostDevice(name="A processor"),)
    lines = ["model name\t: A processor", "flags\t\t: fpu avx2"]
    assert devices.processor_lines() == 2 * lines
    info.write_text("processor\t: 0\nFeatures\t: fp asimd\n")
    assert devices.processor_lines() == ["Features\t: fp asimd"]
    assert devices.processor()[0].name
