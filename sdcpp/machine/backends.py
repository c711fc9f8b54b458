"""The backends: for each, its CMake options, the tools that a build needs, and how to list its devices."""

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
    """A program or an SDK that a build needs.

    ``remedy`` says how to install it. ``find`` returns the path of the program or of a file of the SDK, or None.
    """

    name: str
    remedy: str
    find: Callable[[], Path | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A backend of ggml.

    - ``options`` are CMake cache entries.
    - ``platforms`` are the values of sys.platform of the systems on which it exists; if empty, it exists on all.
    - ``list_devices`` returns the devices of this machine that it could use.
    - ``detect_options`` returns further CMake cache entries, which depend on these devices.
    - ``environment`` returns environment variables for a process that uses the backend.
    - ``picture_timeout`` is the number of seconds after which a picture counts as hanging, if that is more than usual.
    - ``never_run`` means that nobody has built or run it with this project yet; its entry follows documentation.
    """

    name: str
    options: Mapping[str, str] = field(default_factory=dict)
    requirements: tuple[Requirement, ...] = ()
    platforms: tuple[str, ...] = ()
    list_devices: Callable[[], tuple[HostDevice, ...]] = devices.no_devices
    detect_options: Callable[[], Mapping[str, str]] = dict
    environment: Callable[[], Mapping[str, str]] = dict
    picture_timeout: float = 0.0
    never_run: bool = False

    @property
    def device(self) -> HostDevice:
        """The device that a library uses by default: the first that is no software device, or else the first."""
        listed = self.list_devices()
        return next((d for d in listed if not d.software), listed[0] if listed else HostDevice(name=""))


def _program(name: str, *folders: Path) -> Callable[[], Path | None]:
    """Return a function that finds a program in these folders or on PATH."""
    return lambda: which(name, *folders)


def _file(*patterns: str, variables: tuple[str, ...]) -> Callable[[], Path | None]:
    """Return a function that finds a file by its patterns.

    The function searches the folders that the environment variables ``variables`` name, and then the usual prefixes.
    """

    def search() -> Path | None:
        folders = [os.environ.get(variable) for variable in variables]
        prefixes = [Path(p) for p in (*folders, "/usr", "/usr/local", "/opt/homebrew") if p]
        return next((path for prefix in prefixes for p in patterns for path in prefix.glob(p)), None)

    return search


def _architectures() -> dict[str, str]:
    # Without a card, ggml uses its own list of architectures, which has all that the toolkit supports.
    architectures = devices.architectures()
    return {"CMAKE_CUDA_ARCHITECTURES": architectures} if architectures else {}


def _vulkan_environment() -> dict[str, str]:
    shaders = str(cache.root() / cache.SHADERS)
    variables = {"MESA_SHADER_CACHE_DIR": shaders, "__GL_SHADER_DISK_CACHE_PATH": shaders}
    # By default a software device uses all cores, and several workers run at the same time.
    variables |= {"LP_NUM_THREADS": "1"}
    # ggml ignores software devices unless this variable names them.
    if all(device.software for device in devices.vulkan()):
        variables |= {"GGML_VK_VISIBLE_DEVICES": "0"}
    return {name: os.environ.get(name, value) for name, value in variables.items()}


_VULKAN = ("VULKAN_SDK",)
_CUDA = ("CUDA_PATH", "CUDA_HOME", "CUDAToolkit_ROOT")
_MULTIARCH = f"lib/{platform.machine()}-linux-gnu"
_CXX = Requirement(
    name="C++ compiler",
    remedy="apt install g++, or install Xcode's command line tools or Visual Studio's build tools",
    find=lambda: next((p for p in map(which, ("c++", "g++", "clang++", "cl")) if p), None),
)

BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        Backend(name="cpu", requirements=(_CXX,), list_devices=devices.processor),
        Backend(
            name="cuda",
            options={"SD_CUDA": "ON"},
            requirements=(
                _CXX,
                Requirement(
                    name="nvcc",
                    remedy="install the CUDA toolkit (https://developer.nvidia.com/cuda-downloads) "
                    "and put its bin folder on PATH",
                    find=_program("nvcc", Path("/usr/local/cuda/bin")),
                ),
                Requirement(
                    name="cuBLAS",
                    remedy="install the complete CUDA toolkit, or libcublas-dev of nvcc's version from NVIDIA's "
                    "repository; if it is in another folder, set CUDA_PATH to the folder of the toolkit",
                    find=_file(
                        *("lib64/libcublas.so", "lib/libcublas.so", "targets/*/lib/libcublas.so"),
                        *("local/cuda*/lib64/libcublas.so", "local/cuda*/targets/*/lib/libcublas.so"),
                        *(f"{_MULTIARCH}/libcublas.so", "lib/x64/cublas.lib"),
                        variables=_CUDA,
                    ),
                ),
            ),
            platforms=("linux", "win32"),
            list_devices=devices.nvidia,
            detect_options=_architectures,
        ),
        Backend(
            name="vulkan",
            options={"SD_VULKAN": "ON"},
            requirements=(
                _CXX,
                Requirement(
                    name="glslc",
                    remedy="apt install glslc, or install the Vulkan SDK from vulkan.lunarg.com and set VULKAN_SDK",
                    find=_program("glslc"),
                ),
                Requirement(
                    name="Vulkan headers",
                    remedy="apt install libvulkan-dev, or install the Vulkan SDK and set VULKAN_SDK",
                    find=_file("include/vulkan/vulkan.hpp", "Include/vulkan/vulkan.hpp", variables=_VULKAN),
                ),
                Requirement(
                    name="SPIR-V headers",  # ggml of 2026-07 and later looks for their CMake files
                    remedy="apt install spirv-headers, or install the Vulkan SDK and set VULKAN_SDK",
                    find=_file(
                        "share/cmake/SPIRV-Headers/SPIRV-HeadersConfig.cmake",
                        "lib*/cmake/SPIRV-Headers/SPIRV-HeadersConfig.cmake",
                        variables=_VULKAN,
                    ),
                ),
                Requirement(
                    name="Vulkan loader",
                    remedy="apt install libvulkan-dev, or install the Vulkan SDK and set VULKAN_SDK",
                    find=_file(
                        f"{_MULTIARCH}/libvulkan.so",
                        *("lib/libvulkan.so", "lib64/libvulkan.so"),
                        *("lib/libvulkan.dylib", "Lib/vulkan-1.lib"),
                        variables=_VULKAN,
                    ),
                ),
            ),
            list_devices=devices.vulkan,
            environment=_vulkan_environment,
            picture_timeout=1800.0,  # for the first picture ever, a software device compiles all shaders
        ),
        Backend(
            name="metal",
            options={"SD_METAL": "ON", "GGML_METAL": "ON"},
            requirements=(
                Requirement(
                    name="Xcode command line tools", remedy="xcode-select --install", find=_program("xcrun")
                ),
            ),
            platforms=("darwin",),
            list_devices=devices.metal,
            never_run=True,
        ),
        Backend(
            name="rocm",
            options={"SD_HIPBLAS": "ON"},
            requirements=(
                Requirement(
                    name="hipcc",
                    remedy="install ROCm (https://rocm.docs.amd.com) and put its bin folder on PATH",
                    find=_program("hipcc", Path("/opt/rocm/bin")),
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
                    find=_program(name),
                )
                for name in ("icx", "icpx")
            ),
            platforms=("linux", "win32"),
            never_run=True,
        ),
    )
}


def get(name: str) -> Backend:
    """Return the backend with this name; raises UnknownBackend."""
    if name not in BACKENDS:
        raise UnknownBackend("unknown backend", name, f"choose one of {', '.join(BACKENDS)}")
    return BACKENDS[name]


def missing(backend: Backend) -> list[str]:
    """Return the requirements that are not installed, each as ``name: remedy``."""
    return [f"{r.name}: {r.remedy}" for r in backend.requirements if r.find() is None]


def unsupported_here(backend: Backend) -> str:
    """Return the systems on which a backend exists, such as "Linux or Windows", or "" if this is one of them."""
    supported = not backend.platforms or sys.platform in backend.platforms
    return "" if supported else " or ".join(devices.SYSTEMS[name] for name in backend.platforms)


def run_elsewhere_hint(backend: Backend) -> str:
    """Return the advice to run a backend on another machine."""
    return f"run it on a machine that has it: sdcpp bundle --backend {backend.name}"


def require(backend: Backend) -> None:
    """Raise ToolMissing, with all that is missing, unless the backend can be built on this machine."""
    if systems := unsupported_here(backend):
        raise ToolMissing(
            f"{backend.name} does not exist on this system",
            devices.system(),
            f"it exists only on {systems}; {run_elsewhere_hint(backend)}",
        )
    absent = missing(backend)
    if absent:
        names = ", ".join(line.split(":")[0] for line in absent)
        raise ToolMissing(f"tools to build for {backend.name} are missing", names, "\n  ".join(absent))
