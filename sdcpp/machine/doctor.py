"""What each backend needs and what of it is here: tools, devices, and the command that mends what is not."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sdcpp.machine import devices, toolchain
from sdcpp.machine.backends import BACKENDS, Backend, run_elsewhere_hint, unsupported_here
from sdcpp.machine.devices import HostDevice

#: The oldest Mesa whose software device was seen to run stable-diffusion.cpp; 22.3.6 corrupts the heap.
MESA = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line: ``mark`` is "ok", "missing" or "note"; ``remedy`` what to do about it."""

    mark: str
    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A backend's findings, and whether it can be built and be run here."""

    backend: Backend
    findings: tuple[Check, ...]

    @property
    def ready(self) -> bool:
        """Whether nothing is missing."""
        return all(finding.mark != "missing" for finding in self.findings)


def examine(backend: Backend) -> Health:
    """Look at everything that a backend needs."""
    if places := unsupported_here(backend):
        what = f"{places}: this is {devices.system()}"
        found = [Check(mark="missing", what=what, remedy=run_elsewhere_hint(backend))]
    else:
        found = [*_tools(backend), *_devices(backend), *ADVICE.get(backend.name, list)()]
    if backend.never_run:
        found.append(Check(mark="note", what="nobody has run this backend with this project yet"))
    return Health(backend=backend, findings=tuple(found))


def _tools(backend: Backend) -> list[Check]:
    versions = toolchain.describe(backend.name)
    found = []
    for requirement in backend.requirements:
        path = requirement.found()
        if path is None:
            found.append(Check(mark="missing", what=requirement.name, remedy=requirement.remedy))
        else:
            version = versions.get(_VARIABLES.get(requirement.name, ""), "")
            found.append(Check(mark="ok", what=f"{requirement.name}: {version or path}"))
    return found


#: The variable by which ``toolchain.describe`` knows a required program.
_VARIABLES = {"C++ compiler": "CXX", "nvcc": "CUDACXX", "glslc": "GLSLC"}
#: How devices become visible where there are none.
_NO_DEVICE: Mapping[str, str] = {
    "cuda": "install NVIDIA's driver; `nvidia-smi -L` must list the card",
    "vulkan": "apt install vulkan-tools mesa-vulkan-drivers; `vulkaninfo --summary` must list a device",
}


def _devices(backend: Backend) -> list[Check]:
    devices = backend.devices()
    if not devices and backend.name not in _NO_DEVICE:
        return [Check(mark="note", what="device: this project does not know how to ask for one")]
    if not devices:
        return [Check(mark="missing", what="device: none is seen", remedy=_NO_DEVICE[backend.name])]
    return [Check(mark="ok", what=f"device: {_described(found)}") for found in devices]


def _described(found: HostDevice) -> str:
    return ", ".join(part for part in (found.name, found.driver, found.ability) if part)


def _vulkan() -> list[Check]:
    found = []
    header = next((path for path in _headers() if path.exists()), None)
    if header is not None:
        text = header.read_text(encoding="utf-8", errors="replace")
        parts = re.search(r"VK_HEADER_VERSION_COMPLETE VK_MAKE_API_VERSION\(0, (\d+), (\d+), ", text)
        number = re.search(r"#define VK_HEADER_VERSION (\d+)", text)
        if parts and number:
            version = f"{parts.group(1)}.{parts.group(2)}.{number.group(1)}"
            old = "VK_EXT_layer_settings" not in text
            lent = "; what 2026-05 wants beyond that is lent by sdcpp/building/vulkan-headers" if old else ""
            found.append(Check(mark="ok", what=f"headers: {version}{lent}"))
    for driver in devices.vulkan():
        mesa = re.match(r"Mesa (\d+)\.", driver.driver)
        if driver.software and mesa and int(mesa.group(1)) < MESA:
            found.append(
                Check(
                    mark="missing",
                    what=f"a Mesa that works: {driver.driver} corrupts the heap, {MESA}.0 does not",
                    remedy="apt install -t bookworm-backports mesa-vulkan-drivers, or another system's newer package",
                )
            )
    return found


def _headers() -> list[Path]:
    requirement = next(r for r in BACKENDS["vulkan"].requirements if r.name == "Vulkan headers")
    path = requirement.found()
    return [path.with_name("vulkan_core.h")] if path else []


#: What there is to say of a backend beyond its requirements.
ADVICE: Mapping[str, Callable[[], list[Check]]] = {"vulkan": _vulkan}
