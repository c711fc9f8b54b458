"""The backends: what CMake is told, what must be installed, and how ggml calls the device."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sdcpp import cache
from sdcpp.errors import ToolMissing, UnknownBackend
from sdcpp.machine import devices
from sdcpp.machine.devices import HostDevice
from sdcpp.process import which


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A program or SDK that a build needs. ``found`` says where it is; ``remedy`` how to get it."""

    name: str
    remedy: str
    found: Callable[[], Path | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One way to compute.

    ``options`` are CMake cache entries. ``platforms`` are values of sys.platform, empty
    for all. ``devices`` asks the system for what could compute here, ``detected`` for the CMake cache
    entries that suit these, ``environment`` for what a process that uses the backend must be told.
    ``patience`` is how many seconds a picture may take where that is more than usual.
    ``never_run`` says that nobody has built or run it with this project yet: the record was written from
    documentation.
    """

    name: str
    options: Mapping[str, str] = field(default_factory=dict)
    requirements: tuple[Requirement, ...] = ()
    platforms: tuple[str, ...] = ()
    devices: Callable[[], tuple[HostDevice, ...]] = devices.none
    detected: Callable[[], Mapping[str, str]] = dict
    environment: Callable[[], Mapping[str, str]] = dict
    patience: float = 0.0
    never_run: bool = False

    @property
    def device(self) -> HostDevice:
        """The device that a library uses when nothing is said: the first that is no processor, else the first."""
        found = self.devices()
        return next((d for d in found if not d.software), found[0] if found else HostDevice(name=""))


def _program(name: str, *folders: Path) -> Callable[[], Path | None]:
    return lambda: which(name, *folders)


def _file(*patterns: str, variables: tuple[str, ...]) -> Callable[[], Path | None]:
    """Look for a file by patterns in the folders that ``variables`` name, then in the usual prefixes."""

    def search() -> Path | None:
        named = [os.environ.get(variable) for variable in variables]
        prefixes = [Path(p) for p in (*named, "/usr", "/usr/local", "/opt/homebrew") if p]
        return next((path for folder in prefixes for p in patterns for path in folder.glob(p)), None)

    return search


def _architectures() -> dict[str, str]:
    # Without a card ggml's own list of architectures holds, which covers all that the toolkit knows.
    found = devices.architectures()
    return {"CMAKE_CUDA_ARCHITECTURES": found} if found else {}


def _vulkan_environment() -> dict[str, str]:
    shaders = str(cache.root() / cache.SHADERS)
    told = {"MESA_SHADER_CACHE_DIR": shaders, "__GL_SHADER_DISK_CACHE_PATH": shaders}
    # A software device takes every core in each of several workers.
    told |= {"LP_NUM_THREADS": "1"}
    # ggml leaves processors that pose as devices aside unless they are named.
    if all(found.software for found in devices.vulkan()):
        told |= {"GGML_VK_VISIBLE_DEVICES": "0"}
    return {name: os.environ.get(name, value) for name, value in told.items()}


_VULKAN = ("VULKAN_SDK",)
_CUDA = ("CUDA_PATH", "CUDA_HOME", "CUDAToolkit_ROOT")
_MULTIARCH = f"lib/{platform.machine()}-linux-gnu"
_CXX = Requirement(
    name="C++ compiler",
    remedy="apt install g++, or Xcode's command line tools, or Visual Studio's build tools",
    found=lambda: next((p for p in map(which, ("c++", "g++", "clang++", "cl")) if p), None),
)

BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        Backend(name="cpu", requirements=(_CXX,), devices=devices.processor),
        Backend(
            name="cuda",
            options={"SD_CUDA": "ON"},
            requirements=(
                _CXX,
                Requirement(
                    name="nvcc",
                    remedy="install the CUDA toolkit (https://developer.nvidia.com/cuda-downloads) "
                    "and put its bin folder on PATH",
                    found=_program("nvcc", Path("/usr/local/cuda/bin")),
                ),
                Requirement(
                    name="cuBLAS",
                    remedy="install the whole CUDA toolkit, or libcublas-dev of nvcc's version from NVIDIA's "
                    "repository; if it lies elsewhere, set CUDA_PATH to the toolkit's folder",
                    found=_file(
                        *("lib64/libcublas.so", "lib/libcublas.so", "targets/*/lib/libcublas.so"),
                        *("local/cuda*/lib64/libcublas.so", "local/cuda*/targets/*/lib/libcublas.so"),
                        *(f"{_MULTIARCH}/libcublas.so", "lib/x64/cublas.lib"),
                        variables=_CUDA,
                    ),
                ),
            ),
            platforms=("linux", "win32"),
            devices=devices.nvidia,
            detected=_architectures,
        ),
        Backend(
            name="vulkan",
            options={"SD_VULKAN": "ON"},
            requirements=(
                _CXX,
                Requirement(
                    name="glslc",
                    remedy="apt install glslc, or the Vulkan SDK from vulkan.lunarg.com with VULKAN_SDK set",
                    found=_program("glslc"),
                ),
                Requirement(
                    name="Vulkan headers",
                    remedy="apt install libvulkan-dev, or the Vulkan SDK with VULKAN_SDK set",
                    found=_file("include/vulkan/vulkan.hpp", "Include/vulkan/vulkan.hpp", variables=_VULKAN),
                ),
                Requirement(
                    name="Vulkan loader",
                    remedy="apt install libvulkan-dev, or the Vulkan SDK with VULKAN_SDK set",
                    found=_file(
                        f"{_MULTIARCH}/libvulkan.so",
                        *("lib/libvulkan.so", "lib64/libvulkan.so"),
                        *("lib/libvulkan.dylib", "Lib/vulkan-1.lib"),
                        variables=_VULKAN,
                    ),
                ),
            ),
            devices=devices.vulkan,
            environment=_vulkan_environment,
            patience=1800.0,  # a software device compiles every shader for the first picture of all
        ),
        Backend(
            name="metal",
            options={"SD_METAL": "ON", "GGML_METAL": "ON"},
            requirements=(
                Requirement(
                    name="Xcode command line tools", remedy="xcode-select --install", found=_program("xcrun")
                ),
            ),
            platforms=("darwin",),
            devices=devices.metal,
            never_run=True,
        ),
        Backend(
            name="rocm",
            options={"SD_HIPBLAS": "ON"},
            requirements=(
                Requirement(
                    name="hipcc",
                    remedy="install ROCm (https://rocm.docs.amd.com) and put its bin folder on PATH",
                    found=_program("hipcc", Path("/opt/rocm/bin")),
                ),
            ),
            platforms=("linux", "win32"),
            never_run=True,
        ),
        Backend(
            name="sycl",
            options={"SD_SYCL": "ON", "CMAKE_C_COMPILER": "icx", "CMAKE_CXX_COMPILER": "icpx"},
            requirements=tuple(
                Requirement(
                    name=name,
                    remedy="install Intel's oneAPI base toolkit and run `. /opt/intel/oneapi/setvars.sh`",
                    found=_program(name),
                )
                for name in ("icx", "icpx")
            ),
            platforms=("linux", "win32"),
            never_run=True,
        ),
    )
}


def get(name: str) -> Backend:
    """Return the backend of this name; raises UnknownBackend."""
    if name not in BACKENDS:
        raise UnknownBackend("unknown backend", name, f"choose one of {', '.join(BACKENDS)}")
    return BACKENDS[name]


def missing(backend: Backend) -> list[str]:
    """Return what is not installed, each with the way to get it; an empty list means ready to build."""
    return [f"{r.name}: {r.remedy}" for r in backend.requirements if r.found() is None]


def unsupported_here(backend: Backend) -> str:
    """Return the systems that a backend exists on if this is none of them, else ""."""
    here = not backend.platforms or sys.platform in backend.platforms
    return "" if here else " or ".join(devices.SYSTEMS[name] for name in backend.platforms)


def run_elsewhere_hint(backend: Backend) -> str:
    """Return how to get a run from a machine that has what this one lacks."""
    return f"run it on a machine that has it: sdcpp bundle --backend {backend.name}"


def require(backend: Backend) -> None:
    """Raise ToolMissing, naming all that is not there, unless the backend can be built here."""
    if places := unsupported_here(backend):
        raise ToolMissing(
            f"{backend.name} does not exist on this system",
            devices.system(),
            f"it exists only on {places}; {run_elsewhere_hint(backend)}",
        )
    absent = missing(backend)
    if absent:
        names = ", ".join(line.split(":")[0] for line in absent)
        raise ToolMissing(f"cannot build for {backend.name}, these are missing", names, "\n  ".join(absent))
