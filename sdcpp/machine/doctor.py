"""Check the tools and the devices that each backend needs, and say how to get what is missing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sdcpp.machine import devices, toolchain
from sdcpp.machine.backends import BACKENDS, Backend, run_elsewhere_hint, unsupported_here
from sdcpp.machine.devices import HostDevice

#: The oldest major version of Mesa whose software device runs stable-diffusion.cpp; Mesa 22.3.6 corrupts the heap.
MESA = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The result of one check. ``mark`` is "ok", "missing" or "note". ``remedy`` says how to get what is missing."""

    mark: str
    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The results of all checks of a backend."""

    backend: Backend
    checks: tuple[Check, ...]

    @property
    def ready(self) -> bool:
        """Whether the backend can be built and run on this machine: nothing is missing."""
        return all(check.mark != "missing" for check in self.checks)


def examine(backend: Backend) -> Health:
    """Check everything that a backend needs."""
    if systems := unsupported_here(backend):
        what = f"it exists only on {systems}; this is {devices.system()}"
        checks = [Check(mark="missing", what=what, remedy=run_elsewhere_hint(backend))]
    else:
        checks = [
            *_tools(backend),
            _compiler_cache(),
            *_devices(backend),
            *FURTHER_CHECKS.get(backend.name, list)(),
        ]
    if backend.never_run:
        checks.append(Check(mark="note", what="nobody has run this backend with this project yet"))
    return Health(backend=backend, checks=tuple(checks))


def _tools(backend: Backend) -> list[Check]:
    versions = toolchain.describe(backend.name)
    checks = []
    for requirement in backend.requirements:
        path = requirement.find()
        if path is None:
            checks.append(Check(mark="missing", what=requirement.name, remedy=requirement.remedy))
        else:
            version = versions.get(_VARIABLES.get(requirement.name, ""), "")
            checks.append(Check(mark="ok", what=f"{requirement.name}: {version or path}"))
    return checks


def _compiler_cache() -> Check:
    """Say which compiler cache the builds use, or how to get one. None is needed."""
    path = toolchain.compiler_cache()
    if path is not None:
        return Check(mark="ok", what=f"compiler cache: {path}")
    what = "compiler cache: none is found; with one, files that another build compiled are not compiled again"
    return Check(mark="note", what=what, remedy=toolchain.CACHE_REMEDY)


#: The key of a required program in the result of ``toolchain.describe``.
_VARIABLES = {"C++ compiler": "CXX", "nvcc": "CUDACXX", "glslc": "GLSLC"}
#: For each backend, what to do if no device is found.
_NO_DEVICE: Mapping[str, str] = {
    "cuda": "install NVIDIA's driver; `nvidia-smi -L` must list the card",
    "vulkan": "apt install vulkan-tools mesa-vulkan-drivers; `vulkaninfo --summary` must list a device",
}


def _devices(backend: Backend) -> list[Check]:
    listed = backend.list_devices()
    if not listed and backend.name not in _NO_DEVICE:
        return [Check(mark="note", what="device: this project cannot list devices of this backend")]
    if not listed:
        return [Check(mark="missing", what="device: none is found", remedy=_NO_DEVICE[backend.name])]
    return [Check(mark="ok", what=f"device: {_description(device)}") for device in listed]


def _description(device: HostDevice) -> str:
    return ", ".join(part for part in (device.name, device.driver, device.ability) if part)


def _vulkan() -> list[Check]:
    """Check the version of the Vulkan headers, and whether Mesa's software device is too old."""
    checks = []
    header = next((path for path in _headers() if path.exists()), None)
    if header is not None:
        text = header.read_text(encoding="utf-8", errors="replace")
        parts = re.search(r"VK_HEADER_VERSION_COMPLETE VK_MAKE_API_VERSION\(0, (\d+), (\d+), ", text)
        number = re.search(r"#define VK_HEADER_VERSION (\d+)", text)
        if parts and number:
            version = f"{parts.group(1)}.{parts.group(2)}.{number.group(1)}"
            is_old = "VK_EXT_layer_settings" not in text
            addition = "; sdcpp/building/vulkan-headers adds what 2026-05 needs" if is_old else ""
            checks.append(Check(mark="ok", what=f"headers: {version}{addition}"))
    for device in devices.vulkan():
        mesa = re.match(r"Mesa (\d+)\.", device.driver)
        if device.software and mesa and int(mesa.group(1)) < MESA:
            checks.append(
                Check(
                    mark="missing",
                    what=f"Mesa {MESA}.0 or later: {device.driver} corrupts the heap",
                    remedy="apt install -t bookworm-backports mesa-vulkan-drivers, or install a newer Mesa",
                )
            )
    return checks


def _headers() -> list[Path]:
    requirement = next(r for r in BACKENDS["vulkan"].requirements if r.name == "Vulkan headers")
    path = requirement.find()
    return [path.with_name("vulkan_core.h")] if path else []


#: Further checks of a backend.
FURTHER_CHECKS: Mapping[str, Callable[[], list[Check]]] = {"vulkan": _vulkan}
