"""Find the compilers and their versions. They are part of a build's identity, so finding them must take little time."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from importlib import metadata
from pathlib import Path

from sdcpp.errors import ToolMissing
from sdcpp.machine import devices
from sdcpp.process import run, which

#: The environment variable of each compiler, and the programs that CMake searches for without it, in CMake's order.
_COMPILERS = (
    ("CC", ("cc", "gcc", "cl", "clang")),
    ("CXX", ("c++", "g++", "cl", "clang++")),
)
#: The variable and the programs of a further compiler that a backend needs.
_EXTRA = {"cuda": ("CUDACXX", ("nvcc",)), "vulkan": ("GLSLC", ("glslc",))}
#: Folders to search before PATH.
_FOLDERS = (Path("/usr/local/cuda/bin"),)


def describe(backend: str) -> dict[str, str]:
    """Return the tools and flags that a build for this backend uses.

    The result maps the variable or the name of each tool to its version, which contains no path, or to "missing".
    """
    tools = [*_COMPILERS, *([_EXTRA[backend]] if backend in _EXTRA else [])]
    versions = {variable: _version(os.environ.get(variable), names) for variable, names in tools}
    flags = {
        name: os.environ[name]
        for name in ("CFLAGS", "CXXFLAGS", "LDFLAGS", "CUDAFLAGS")
        if name in os.environ
    }
    processor = "\n".join(sorted(set(devices.processor_lines()))) or platform.processor()
    return {
        **versions,
        **flags,
        **cmake_versions(),
        "system": f"{platform.system()} {platform.machine()}",
        # By default ggml compiles for the instructions of this processor.
        "cpu": hashlib.sha256(processor.encode()).hexdigest()[:16],
    }


def environment(backend: str) -> dict[str, str]:
    """Return the environment variable that names the backend's compiler, if it is installed but not on PATH."""
    variable, names = _EXTRA.get(backend, ("", ()))
    if not names or variable in os.environ or any(which(name) for name in names):
        return {}
    path = next((path for path in (which(name, *_FOLDERS) for name in names) if path), None)
    return {variable: str(path)} if path else {}


def compiler_cache() -> Path | None:
    """Return the compiler cache to put before the compilers, ccache or sccache, or None."""
    return which("ccache") or which("sccache")


#: What to do without a compiler cache, which is never needed.
CACHE_REMEDY = "apt install ccache, brew install ccache, or winget install Mozilla.sccache"


def compiler() -> Path:
    """Return the path of a C++ compiler that accepts gcc's options; raises ToolMissing."""
    path = next((path for path in map(which, ("c++", "g++", "clang++")) if path), None)
    if path is None:
        raise ToolMissing("no C++ compiler", "c++", "apt install g++, or install Xcode's command line tools")
    return path


def _version(chosen: str | None, names: tuple[str, ...]) -> str:
    """Return the version of the program ``chosen``, or of the first of ``names``; "missing" if there is none."""
    path = next((p for p in (which(n, *_FOLDERS) for n in ([chosen] if chosen else names)) if p), None)
    if path is None:
        return "missing"
    # cl has no option --version. It prints its version together with the error.
    output = run([path, "--version"], quiet=True, env={"LC_ALL": "C"}).output
    # gcc and clang print the version in the first line, nvcc in a later one.
    return next((line.strip() for line in output.splitlines() if re.search(r"\d\.\d", line)), output.strip())


def cmake_versions() -> dict[str, str]:
    """Return the versions of the packages cmake and ninja, without running the programs."""
    return {name: metadata.version(name) for name in ("cmake", "ninja")}
