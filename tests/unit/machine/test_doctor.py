from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.cli.main import main
from sdcpp.errors import ToolMissing
from sdcpp.machine import backends, devices, doctor, toolchain
from sdcpp.machine.devices import HostDevice

OLD = HostDevice(name="llvmpipe", driver="Mesa 22.3.6 (LLVM 15.0.6)", ability="Vulkan 1.3.230, cpu")
NEW = HostDevice(name="llvmpipe", driver="Mesa 25.0.7-2~bpo12+1 (LLVM 15.0.6)", ability="Vulkan 1.4.305, cpu")
CARD = HostDevice(name="A card", driver="Mesa 22.3.6", ability="Vulkan 1.3.230, discrete gpu")


@pytest.mark.parametrize(("found", "bad"), [(OLD, True), (NEW, False), (CARD, False)])
def test_a_software_device_that_crashes_is_reported_with_the_package_that_fixes_it(
    found: HostDevice, bad: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "vulkan", lambda: (found,))
    remedies = [f.remedy for f in doctor.FURTHER_CHECKS["vulkan"]() if f.mark == "missing"]
    assert bool(remedies) == bad
    assert not bad or "bookworm-backports mesa-vulkan-drivers" in remedies[0]


def test_what_is_missing_is_reported_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(backends, "which", lambda *_: None)
    devices.nvidia.cache_clear()
    monkeypatch.setattr(devices, "which", lambda *_: None)
    assert main(["doctor", "--backend", "cuda"]) == ToolMissing.exit_code
    told = capsys.readouterr().out
    assert "cuda: not ready" in told
    assert "missing nvcc\n          install the CUDA toolkit" in told
    assert "nvidia-smi -L" in told
    devices.nvidia.cache_clear()


@pytest.mark.parametrize("name", ["ccache", "sccache", ""])
def test_a_compiler_cache_is_named_or_offered(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "which", lambda asked, *_: Path("/opt", name) if name == asked else None)
    [check] = [c for c in doctor.examine(backends.get("cpu")).checks if c.what.startswith("compiler cache: ")]
    if name:
        assert (check.mark, check.what) == ("ok", f"compiler cache: {Path('/opt', name)}")
    else:
        assert check.mark == "note"
        assert check.remedy.startswith("apt install ccache")


def test_another_systems_backend_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    found = doctor.examine(backends.get("metal"))
    assert not found.ready
    assert found.checks[0].what == "it exists only on macOS; this is Linux"
    assert "sdcpp bundle --backend metal" in found.checks[0].remedy


@pytest.mark.parametrize("name", ["metal", "rocm", "sycl"])
def test_what_nobody_has_run_is_said(name: str) -> None:
    assert "nobody has run" in doctor.examine(backends.get(name)).checks[-1].what


def test_old_headers_are_recognised_by_what_they_lack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    header = tmp_path / "vulkan_core.h"
    header.write_text(
        "#define VK_HEADER_VERSION 239\n"
        "#define VK_HEADER_VERSION_COMPLETE VK_MAKE_API_VERSION(0, 1, 3, VK_HEADER_VERSION)\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(doctor, "_headers", lambda: [header])
    monkeypatch.setattr(devices, "vulkan", lambda: ())
    [found] = doctor.FURTHER_CHECKS["vulkan"]()
    assert found.what.startswith("headers: 1.3.239; sdcpp/building/vulkan-headers adds what 2026-05 needs")
