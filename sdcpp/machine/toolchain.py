"""What compiles here, found out in milliseconds: part of a build's identity, so asked before any work."""

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

#: The compilers that CMake looks for, in its order, and the variable that overrides them.
_COMPILERS = (
    ("CC", ("cc", "gcc", "cl", "clang")),
    ("CXX", ("c++", "g++", "cl", "clang++")),
)
#: Further programs that a backend compiles with.
_EXTRA = {"cuda": ("CUDACXX", ("nvcc",)), "vulkan": ("GLSLC", ("glslc",))}
_PLACES = (Path("/usr/local/cuda/bin"),)


def describe(backend: str) -> dict[str, str]:
    """Return the tools of a build for this backend: variable or tool to path-independent version text."""
    wanted = [*_COMPILERS, *([_EXTRA[backend]] if backend in _EXTRA else [])]
    found = {variable: _version(os.environ.get(variable), names) for variable, names in wanted}
    flags = {
        name: os.environ[name]
        for name in ("CFLAGS", "CXXFLAGS", "LDFLAGS", "CUDAFLAGS")
        if name in os.environ
    }
    processor = "\n".join(sorted(set(devices.processor_lines()))) or platform.processor()
    return {
        **found,
        **flags,
        **cmake_versions(),
        "system": f"{platform.system()} {platform.machine()}",
        # ggml compiles for the very processor it is built on.
        "cpu": hashlib.sha256(processor.encode()).hexdigest()[:16],
    }


def environment(backend: str) -> dict[str, str]:
    """Return what tells CMake of a compiler that is installed but not on PATH, where CMake would look."""
    variable, names = _EXTRA.get(backend, ("", ()))
    if not names or variable in os.environ or any(which(name) for name in names):
        return {}
    found = next((path for path in (which(name, *_PLACES) for name in names) if path), None)
    return {variable: str(found)} if found else {}


def compiler() -> Path:
    """Return a C++ compiler that takes gcc's options; raises ToolMissing."""
    found = next((path for path in map(which, ("c++", "g++", "clang++")) if path), None)
    if found is None:
        raise ToolMissing(
            "no C++ compiler", "c++", "install one: apt install g++, or Xcode's command line tools"
        )
    return found


def _version(chosen: str | None, names: tuple[str, ...]) -> str:
    path = next((p for p in (which(n, *_PLACES) for n in ([chosen] if chosen else names)) if p), None)
    if path is None:
        return "missing"
    # cl knows no --version; it says what it is in the complaint.
    output = run([path, "--version"], quiet=True, env={"LC_ALL": "C"}).output
    # gcc and clang say it in their first line, nvcc further down.
    return next((line.strip() for line in output.splitlines() if re.search(r"\d\.\d", line)), output.strip())


def cmake_versions() -> dict[str, str]:
    """Return the versions of cmake and ninja without running them."""
    return {name: metadata.version(name) for name in ("cmake", "ninja")}
