from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sdcpp import backend, cmake, project
from sdcpp.errors import ToolMissing, UnknownBackend
from sdcpp.run import run

#: Requirements that are files: whether they are there is not for the test to say.
FILES = {"Vulkan headers", "Vulkan loader", "cuBLAS", "macOS"}
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
    [("CPU", "cpu"), ("CUDA0", "cuda"), ("Vulkan1", "vulkan"), ("MTL0", "metal"), ("Metal", "metal")],
)
def test_devices_are_recognised(device: str, name: str) -> None:
    assert [b.name for b in backend.BACKENDS.values() if b.recognises(device)] == [name]


def test_an_unknown_backend_is_told_the_known_ones() -> None:
    with pytest.raises(UnknownBackend, match="cpu, cuda, vulkan, metal"):
        backend.get("abacus")


@pytest.mark.parametrize("name", ["cuda", "vulkan", "metal"])
def test_all_that_is_missing_is_named_with_the_way_to_get_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "which", lambda *_: None)
    monkeypatch.setattr(backend, "_mac", lambda: None)
    wanted = backend.get(name)
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
