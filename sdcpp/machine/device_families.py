"""The names under which ggml and upstream's log list the devices of each backend.

A module of its own, because workers need these names and nothing else of ``sdcpp.machine.backends``, which imports
much more.
"""

from __future__ import annotations

#: Backend name -> the beginnings of the names of its devices, in any case.
FAMILIES = {
    "cpu": ("CPU",),
    "cuda": ("CUDA",),
    "vulkan": ("Vulkan",),
    "metal": ("Metal", "MTL"),
    "rocm": ("ROCm",),
    "sycl": ("SYCL",),
}


def backend_of(device: str) -> str | None:
    """Return the name of the backend that a device belongs to, given its name in ggml or in upstream's log."""
    for backend, families in FAMILIES.items():
        if any(device.upper().startswith(family.upper()) for family in families):
            return backend
    return None
