"""Builds with AddressSanitizer and UndefinedBehaviorSanitizer, which make latent memory errors crash every time.

This is an option of the CPU backend for gcc and clang on Linux: ``sdcpp build --sanitize``, ``sdcpp verify
--sanitize``. Python itself is not built with the sanitizers. So LD_PRELOAD must load their runtime first, and the C++
runtime with it, or the first exception fails the sanitizer's own check
(https://github.com/google/sanitizers/wiki/AddressSanitizerAsDso). The first finding ends the process; the pool
records an ABORT with the finding's text.
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

#: The CMake cache entry that makes such a build; CMakeLists.txt reads it.
OPTIONS: Mapping[str, str] = {"SDCPP_SANITIZE": "ON"}
#: Python leaks memory by design, so leaks are not reported. Large allocations fail, as under the memory limit of other
#: workers. That limit cannot be set here, because the sanitizer reserves terabytes of addresses.
_SETTINGS = {
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1:max_allocation_size_mb=4096",
    "UBSAN_OPTIONS": "halt_on_error=1:abort_on_error=1:print_stacktrace=1",
}


def is_sanitized(build: Build) -> bool:
    """Return whether a build has the sanitizers."""
    return OPTIONS.items() <= dict(build.record.get("options", {})).items()


def environment(build: Build) -> dict[str, str]:
    """Return the environment variables that a process needs to load the build; none for a build without sanitizers.

    Raises ToolMissing if there is no compiler or if it has no sanitizer runtime.
    """
    return {**_SETTINGS, "LD_PRELOAD": _runtimes()} if is_sanitized(build) else {}


@functools.cache
def _runtimes() -> str:
    compiler, found = toolchain.compiler(), []
    for name in ("libasan.so", "libstdc++.so"):
        place = run([compiler, f"-print-file-name={name}"], quiet=True).output.strip()
        if place == name:  # gcc prints the bare name if it has no such file
            raise ToolMissing(
                "the compiler has no runtime for AddressSanitizer", name, "install it: apt install libasan8"
            )
        found.append(place)
    return ":".join(found)
