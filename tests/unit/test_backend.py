from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from sdcpp import backend, cmake, device, project
from sdcpp.device import Device
from sdcpp.errors import ToolMissing, UnknownBackend
from sdcpp.run import run

#: Requirements that are files: whether they are there is not for the test to say.
FILES = {"Vulkan headers", "Vulkan loader", "cuBLAS"}
PRESETS: dict[str, dict[str, Any]] = {
    preset["name"]: preset
    for preset in json.loads((project.ROOT / "CMakePresets.json").read_text(encoding="utf-8"))[
        "configurePresets"
    ]
}


def test_every_backend_has_a_visible_preset_and_no_other_has() -> None:
    assert {name for name, preset in PRESETS.items() if not preset.get("hidden")} == set(backend.BACKENDS)


@pytest.mark.parametrize("name", backend.BACKENDS)
def test_a_preset_adds_the_backends_options_to_the_hidden_base(name: str) -> None:
    assert PRESETS[name]["inherits"] == "base"
    assert PRESETS["base"]["hidden"] is True
    assert PRESETS[name].get("cacheVariables", {}) == dict(backend.get(name).options)


def test_metal_is_for_macs() -> None:
    assert PRESETS["metal"]["condition"] == {"type": "equals", "lhs": "${hostSystemName}", "rhs": "Darwin"}
    assert backend.get("metal").platforms == ("darwin",)


def test_cmake_reads_the_presets() -> None:
    done = run([cmake.program(), "--list-presets"], cwd=project.ROOT, quiet=True)
    assert done.status == 0, done.output
    assert '"cpu"' in done.output


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
    assert [b.name for b in backend.BACKENDS.values() if b.recognises(device)] == [name]


def test_an_unknown_backend_is_told_the_known_ones() -> None:
    with pytest.raises(UnknownBackend, match="cpu, cuda, vulkan, metal, rocm, sycl"):
        backend.get("abacus")


@pytest.mark.parametrize("name", ["cuda", "vulkan", "metal", "rocm", "sycl"])
def test_all_that_is_missing_is_named_with_the_way_to_get_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "which", lambda *_: None)
    wanted = backend.get(name)
    if wanted.platforms:
        monkeypatch.setattr(sys, "platform", wanted.platforms[0])
    absent = backend.missing(wanted)
    programs = [r for r in wanted.requirements if r.name not in FILES]
    assert {f"{r.name}: {r.remedy}" for r in programs} <= set(absent)
    with pytest.raises(ToolMissing) as caught:
        backend.require(wanted)
    for requirement in programs:
        assert requirement.name in caught.value.subject
        assert requirement.remedy in caught.value.remedy


def test_cublas_is_found_where_the_toolkit_keeps_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cublas = next(r for r in backend.get("cuda").requirements if r.name == "cuBLAS")
    library = tmp_path / "targets" / "x86_64-linux" / "lib" / "libcublas.so"
    library.parent.mkdir(parents=True)
    library.touch()
    monkeypatch.setenv("CUDA_PATH", str(tmp_path))
    assert cublas.found() == library


def test_an_sdk_is_found_by_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    headers = next(r for r in backend.get("vulkan").requirements if r.name == "Vulkan headers")
    header = tmp_path / "include" / "vulkan" / "vulkan.hpp"
    header.parent.mkdir(parents=True)
    header.touch()
    monkeypatch.setenv("VULKAN_SDK", str(tmp_path))
    assert headers.found() == header


def test_another_systems_backend_is_declined_in_a_clear_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(ToolMissing, match="metal is not for this system: Linux\n  it exists on macOS only"):
        backend.require(backend.get("metal"))


def test_cuda_is_built_for_the_cards_that_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "architectures", lambda: "86;90")
    assert backend.get("cuda").detected() == {"CMAKE_CUDA_ARCHITECTURES": "86;90"}
    monkeypatch.setattr(device, "architectures", lambda: "")
    assert backend.get("cuda").detected() == {}


@pytest.mark.parametrize(("kind", "told"), [("cpu", "0"), ("discrete gpu", None)])
def test_a_software_device_is_named_to_ggml_and_shaders_are_kept(
    kind: str, told: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SDCPP_CACHE", str(tmp_path))
    monkeypatch.delenv("GGML_VK_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("MESA_SHADER_CACHE_DIR", raising=False)
    monkeypatch.setattr(device, "vulkan", lambda: (Device(name="it", ability=f"Vulkan 1.3, {kind}"),))
    environment = backend.get("vulkan").environment()
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
    assert all(backend.get(name).never_run for name in ("rocm", "sycl", "metal"))
