from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from sdcpp import project
from sdcpp.building import cmake
from sdcpp.errors import ToolMissing, UnknownBackend
from sdcpp.machine import backends, devices
from sdcpp.machine.devices import HostDevice
from sdcpp.process import run

#: Requirements that are files; a machine may or may not have them.
FILES = {"Vulkan headers", "Vulkan loader", "SPIR-V headers", "cuBLAS"}
PRESETS: dict[str, dict[str, Any]] = {
    preset["name"]: preset
    for preset in json.loads((project.ROOT / "CMakePresets.json").read_text(encoding="utf-8"))[
        "configurePresets"
    ]
}


def test_every_backend_has_a_visible_preset_and_no_other_has() -> None:
    assert {name for name, preset in PRESETS.items() if not preset.get("hidden")} == set(backends.BACKENDS)


@pytest.mark.parametrize("name", backends.BACKENDS)
def test_a_preset_adds_the_backends_options_to_the_hidden_base(name: str) -> None:
    assert PRESETS[name]["inherits"] == "base"
    assert PRESETS["base"]["hidden"] is True
    assert PRESETS[name].get("cacheVariables", {}) == dict(backends.get(name).options)


def test_metal_is_for_macs() -> None:
    assert PRESETS["metal"]["condition"] == {"type": "equals", "lhs": "${hostSystemName}", "rhs": "Darwin"}
    assert backends.get("metal").platforms == ("darwin",)


def test_cmake_reads_the_presets() -> None:
    done = run([cmake.program(), "--list-presets"], cwd=project.ROOT, quiet=True)
    assert done.status == 0, done.output
    assert '"cpu"' in done.output


def test_an_unknown_backend_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownBackend, match="cpu, cuda, vulkan, metal, rocm, sycl"):
        backends.get("abacus")


@pytest.mark.parametrize("name", ["cuda", "vulkan", "metal", "rocm", "sycl"])
def test_all_that_is_missing_is_named_with_the_way_to_get_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "which", lambda *_: None)
    wanted = backends.get(name)
    if wanted.platforms:
        monkeypatch.setattr(sys, "platform", wanted.platforms[0])
    absent = backends.missing(wanted)
    programs = [r for r in wanted.requirements if r.name not in FILES]
    assert {f"{r.name}: {r.remedy}" for r in programs} <= set(absent)
    with pytest.raises(ToolMissing) as caught:
        backends.require(wanted)
    for requirement in programs:
        assert requirement.name in caught.value.subject
        assert requirement.remedy in caught.value.remedy


def test_cublas_is_found_where_the_toolkit_keeps_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cublas = next(r for r in backends.get("cuda").requirements if r.name == "cuBLAS")
    library = tmp_path / "targets" / "x86_64-linux" / "lib" / "libcublas.so"
    library.parent.mkdir(parents=True)
    library.touch()
    monkeypatch.setenv("CUDA_PATH", str(tmp_path))
    assert cublas.find() == library


def test_an_sdk_is_found_by_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    headers = next(r for r in backends.get("vulkan").requirements if r.name == "Vulkan headers")
    header = tmp_path / "include" / "vulkan" / "vulkan.hpp"
    header.parent.mkdir(parents=True)
    header.touch()
    monkeypatch.setenv("VULKAN_SDK", str(tmp_path))
    assert headers.find() == header


def test_another_systems_backend_is_declined_in_a_clear_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(
        ToolMissing, match="metal does not exist on this system: Linux\n  it exists only on macOS"
    ):
        backends.require(backends.get("metal"))


def test_cuda_is_built_for_the_cards_that_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "architectures", lambda: "86;90")
    assert backends.get("cuda").detect_options() == {"CMAKE_CUDA_ARCHITECTURES": "86;90"}
    monkeypatch.setattr(devices, "architectures", lambda: "")
    assert backends.get("cuda").detect_options() == {}


@pytest.mark.parametrize(("kind", "told"), [("cpu", "0"), ("discrete gpu", None)])
def test_a_software_device_is_named_to_ggml_and_shaders_are_kept(
    kind: str, told: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SDCPP_CACHE", str(tmp_path))
    monkeypatch.delenv("GGML_VK_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("MESA_SHADER_CACHE_DIR", raising=False)
    monkeypatch.setattr(devices, "vulkan", lambda: (HostDevice(name="it", ability=f"Vulkan 1.3, {kind}"),))
    environment = backends.get("vulkan").environment()
    assert environment.get("GGML_VK_VISIBLE_DEVICES") == told
    assert environment["MESA_SHADER_CACHE_DIR"] == str(tmp_path / "shaders")


def test_every_backend_that_was_run_or_could_be_has_machines_in_ci() -> None:
    runners = {
        name: preset.get("vendor", {}).get("sdcpp-lora-harness", {}).get("runners", [])
        for name, preset in PRESETS.items()
        if not preset.get("hidden")
    }
    assert {name for name, found in runners.items() if not found} == {"rocm", "sycl"}
    assert runners["cuda"] == ["self-hosted+cuda"]
    assert all(backends.get(name).never_run for name in ("rocm", "sycl", "metal"))
