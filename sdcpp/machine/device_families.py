"""The names that devices of each backend have in ggml and in upstream's log.

These are not in ``sdcpp.machine.backends``, because workers need them, and that module takes long to import.
"""

from __future__ import annotations

#: For each backend, the prefixes of the names of its devices. Case does not count.
FAMILIES = {
    "cpu": ("CPU",),
    "cuda": ("CUDA",),
    "vulkan": ("Vulkan",),
    "metal": ("Metal", "MTL"),
    "rocm": ("ROCm",),
    "sycl": ("SYCL",),
}


def backend_of(device: str) -> str | None:
    """Return the backend of a device, given the device's name in ggml or in upstream's log, or None."""
    for backend, families in FAMILIES.items():
        if any(device.upper().startswith(family.upper()) for family in families):
            return backend
    return None
