"""List the devices of this machine and their drivers, as the system's programs report them.

A library may use another device than these. Its log says which one: see ``sdcpp.binding.api.backend_in_use``.
"""

from __future__ import annotations

import json
import platform
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sdcpp.process import run, which

_CPUINFO = Path("/proc/cpuinfo")
#: The name of each system, by the value of sys.platform.
SYSTEMS = {"linux": "Linux", "win32": "Windows", "darwin": "macOS"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HostDevice:
    """A device. ``driver`` is the driver's name and version, ``ability`` is, for example, "compute capability 9.0"."""

    name: str
    driver: str = ""
    ability: str = ""

    @property
    def software(self) -> bool:
        """Whether this is a processor that appears as a graphics device, such as Mesa's llvmpipe."""
        return self.ability.endswith(", cpu")


def system() -> str:
    """Return the name of this system, such as "Linux"."""
    return SYSTEMS.get(sys.platform, sys.platform)


def no_devices() -> tuple[HostDevice, ...]:
    """Return no device, for backends whose devices this project cannot list."""
    return ()


def processor() -> tuple[HostDevice, ...]:
    """Return the processor as the only device."""
    names = (line.partition(":")[2].strip() for line in processor_lines() if line.startswith("model name"))
    return (HostDevice(name=next(names, "") or platform.processor() or platform.machine()),)


def processor_lines() -> list[str]:
    """Return the lines of /proc/cpuinfo that name the processor's model and its features; none on other systems."""
    if not _CPUINFO.exists():
        return []
    lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if line.startswith(("model name", "flags", "Features"))]


@cache
def nvidia() -> tuple[HostDevice, ...]:
    """Return the cards that nvidia-smi lists; none if nvidia-smi is not installed or fails."""
    fields = ("name", "driver_version", "compute_cap")
    return tuple(
        HostDevice(name=name, driver=f"NVIDIA {driver}", ability=f"compute capability {ability}")
        for name, driver, ability in (
            line.split(", ")
            for line in _program_output(
                "nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"
            ).splitlines()
            if line.count(", ") == len(fields) - 1
        )
    )


def architectures() -> str:
    """Return the compute capabilities of NVIDIA's cards in CMake's format, such as "86;90", or "" without a card."""
    numbers = {card.ability.removeprefix("compute capability ").replace(".", "") for card in nvidia()}
    return ";".join(sorted(numbers, key=int))


@cache
def vulkan() -> tuple[HostDevice, ...]:
    """Return the devices that ``vulkaninfo --summary`` lists. ggml numbers them in the same order."""
    return parse_vulkan(_program_output("vulkaninfo", "--summary"))


def parse_vulkan(summary: str) -> tuple[HostDevice, ...]:
    """Return the devices in the output of ``vulkaninfo --summary``."""
    listed = []
    for block in re.split(r"^GPU\d+:$", summary, flags=re.MULTILINE)[1:]:
        facts = dict(re.findall(r"^\s*(\w+)\s*= (.*)$", block, flags=re.MULTILINE))
        kind = facts.get("deviceType", "").removeprefix("PHYSICAL_DEVICE_TYPE_").lower().replace("_", " ")
        api = re.sub(r".*\((.*)\)", r"\1", facts.get("apiVersion", ""))
        # Mesa's driverInfo begins with the name of the driver. NVIDIA's is only a number.
        driver_name, version = facts.get("driverName", ""), facts.get("driverInfo", "")
        listed.append(
            HostDevice(
                name=facts.get("deviceName", "unknown"),
                driver=f"{driver_name} {version}" if version[:1].isdigit() else version or driver_name,
                ability=f"Vulkan {api}, {kind}",
            )
        )
    return tuple(listed)


def metal() -> tuple[HostDevice, ...]:
    """Return the graphics processors that system_profiler lists; none on other systems than macOS."""
    is_mac = sys.platform == "darwin"
    text = _program_output("system_profiler", "SPDisplaysDataType", "-json") if is_mac else ""
    try:
        entries = json.loads(text or "{}").get("SPDisplaysDataType", [])
    except ValueError:
        entries = []
    return tuple(
        HostDevice(
            name=str(entry.get("sppci_model", "unknown")),
            driver=f"macOS {platform.mac_ver()[0]}",
            ability=str(entry.get("spdisplays_mtlgpufamilysupport", "")),
        )
        for entry in entries
    )


def _program_output(*argv: str) -> str:
    """Return the output of a program, or "" if the program is not installed or fails."""
    if which(argv[0]) is None:
        return ""
    done = run(argv, quiet=True, apart=True)
    return "" if done.status else done.output
