"""Builds with AddressSanitizer and UndefinedBehaviorSanitizer: what crashes only by luck crashes always.

An option of the CPU backend, for gcc and clang on Linux: ``sdcpp build --sanitize``, ``sdcpp matrix --sanitize``.
The library is loaded by a Python that was not built for it. So the runtime must come first into the process, by
LD_PRELOAD, and the C++ runtime with it, or the first exception ends in the sanitizer's own check
(https://github.com/google/sanitizers/wiki/AddressSanitizerAsDso). The first finding ends the process, which the
pool takes down as an ABORT with the finding's text.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sdcpp.errors import ToolMissing
from sdcpp.machine import toolchain
from sdcpp.process import run

if TYPE_CHECKING:
    from sdcpp.binding.build_folder import Build

#: The CMake cache entry of CMakeLists.txt that makes such a build.
OPTIONS: Mapping[str, str] = {"SDCPP_SANITIZE": "ON"}
#: Python itself leaks by design. Large allocations fail as they would under a memory limit, which cannot be set:
#: the sanitizer reserves terabytes of addresses.
_SETTINGS = {
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1:max_allocation_size_mb=4096",
    "UBSAN_OPTIONS": "halt_on_error=1:abort_on_error=1:print_stacktrace=1",
}


def is_sanitized(build: Build) -> bool:
    """Return whether a build has the sanitizers in it."""
    return OPTIONS.items() <= dict(build.record.get("options", {})).items()


def environment(build: Build) -> dict[str, str]:
    """Return what a process that is to load the build needs in its environment; nothing for a usual build.

    Raises ToolMissing without a compiler, or if it has no sanitizer runtime.
    """
    return {**_SETTINGS, "LD_PRELOAD": _runtimes()} if is_sanitized(build) else {}


@functools.cache
def _runtimes() -> str:
    compiler, found = toolchain.compiler(), []
    for name in ("libasan.so", "libstdc++.so"):
        place = run([compiler, f"-print-file-name={name}"], quiet=True).output.strip()
        if place == name:  # how gcc says that it has none
            raise ToolMissing(
                "the compiler has no runtime for AddressSanitizer", name, "install it: apt install libasan8"
            )
        found.append(place)
    return ":".join(found)
