"""What computes here: the devices that the system's own programs name, with their drivers.

This is what a machine *has*. What a library really *used* is told by its log, see ``sdcpp.binding.api.backend_in_use``.
"""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sdcpp.process import run, which

_CPUINFO = Path("/proc/cpuinfo")
#: Systems by their value of sys.platform.
SYSTEMS = {"linux": "Linux", "win32": "Windows", "darwin": "macOS"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HostDevice:
    """One device: its name, the driver's name and version, and what it can do ("compute capability 9.0")."""

    name: str
    driver: str = ""
    ability: str = ""

    @property
    def software(self) -> bool:
        """Whether it is a processor that poses as a graphics device, as Mesa's llvmpipe does."""
        return self.ability.endswith(", cpu")


def system() -> str:
    """Return what this system is called."""
    return SYSTEMS.get(sys.platform, sys.platform)


def none() -> tuple[HostDevice, ...]:
    """Return no device: nobody has said how to ask for one."""
    return ()


def processor() -> tuple[HostDevice, ...]:
    """Return the processor."""
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
    """Return NVIDIA's cards, as nvidia-smi lists them; none without it."""
    fields = ("name", "driver_version", "compute_cap")
    return tuple(
        HostDevice(name=name, driver=f"NVIDIA {driver}", ability=f"compute capability {ability}")
        for name, driver, ability in (
            line.split(", ")
            for line in _answer(
                "nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"
            ).splitlines()
            if line.count(", ") == len(fields) - 1
        )
    )


def architectures() -> str:
    """Return the compute capabilities of NVIDIA's cards here as CMake wants them ("86;90"), "" without a card."""
    found = {card.ability.removeprefix("compute capability ").replace(".", "") for card in nvidia()}
    return ";".join(sorted(found, key=int))


@cache
def vulkan() -> tuple[HostDevice, ...]:
    """Return the devices that ``vulkaninfo --summary`` lists, in the order in which ggml counts them."""
    return parse_vulkan(_answer("vulkaninfo", "--summary"))


def parse_vulkan(summary: str) -> tuple[HostDevice, ...]:
    """Return the devices of vulkaninfo's summary."""
    found = []
    for block in re.split(r"^GPU\d+:$", summary, flags=re.MULTILINE)[1:]:
        facts = dict(re.findall(r"^\s*(\w+)\s*= (.*)$", block, flags=re.MULTILINE))
        kind = facts.get("deviceType", "").removeprefix("PHYSICAL_DEVICE_TYPE_").lower().replace("_", " ")
        api = re.sub(r".*\((.*)\)", r"\1", facts.get("apiVersion", ""))
        # Mesa's driverInfo begins with its name, NVIDIA's is a number alone.
        maker, version = facts.get("driverName", ""), facts.get("driverInfo", "")
        found.append(
            HostDevice(
                name=facts.get("deviceName", "unknown"),
                driver=f"{maker} {version}" if version[:1].isdigit() else version or maker,
                ability=f"Vulkan {api}, {kind}",
            )
        )
    return tuple(found)


def metal() -> tuple[HostDevice, ...]:
    """Return a Mac's graphics processors, as system_profiler lists them."""
    text = _answer("system_profiler", "SPDisplaysDataType", "-json") if sys.platform == "darwin" else ""
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


def _answer(*argv: str) -> str:
    """Return what a program prints, "" if it is not there or fails."""
    words: Sequence[str] = argv
    if which(words[0]) is None:
        return ""
    done = run(words, quiet=True, apart=True)
    return "" if done.status else done.output
