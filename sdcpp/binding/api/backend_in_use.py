"""Find out on which backend a context runs, from the log lines of opening it.

If a device does not start, upstream uses the CPU without an error. Therefore neither the build's options nor the list
of devices is sufficient evidence. Three pieces of evidence must agree:

- ``Using CPU backend``, or another backend's name. Revisions before 2026 log this line for every backend *before* they
  start it, and again for the CPU if the start failed, so the last such line counts. Later revisions log it for the CPU
  only.
- ``total params memory size``. This line says whether the diffusion model is in RAM or in VRAM; upstream decides that
  with ``ggml_backend_is_cpu``.
- ggml's list of devices. It has a device of the backend in use. If the log says only VRAM, the backend is the one GPU
  backend in the list.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sdcpp.binding.ggml import GgmlDevice
from sdcpp.binding.library import LogLine
from sdcpp.machine.device_families import backend_of

#: The backend if there is no evidence, or if the evidence contradicts itself.
UNKNOWN = "unknown"

# "CLIP: Using CPU backend" is about one part of the model only, so no other words may come before "Using".
_USING = re.compile(r"^(?:\S+:\s*\d+\s+- )?Using (\w+) backend$")
_MEMORY = re.compile(r"total params memory size = .*?(?:diffusion_model|unet) [\d.]+ ?MB ?\((V?RAM)\)")


def _backend_or_unknown(name: str) -> str:
    return backend_of(name) or UNKNOWN


def backend_in_use(lines: Sequence[LogLine], devices: Sequence[GgmlDevice]) -> tuple[str, str]:
    """Return the name of the backend in use, or UNKNOWN, and the evidence as one line of text.

    ``lines`` are the log lines of opening the context, ``devices`` the devices that ggml lists.
    """
    claims: list[tuple[str, str]] = []  # the backend that a log line implies, and its text
    for line in lines:
        if match := _USING.match(line.text):
            claims = [(_backend_or_unknown(match.group(1)), line.text)]
    families = {_backend_or_unknown(device.registry) for device in devices}
    for line in lines:
        if match := _MEMORY.search(line.text):
            on_gpu = match.group(1) == "VRAM"
            gpus = families - {"cpu", UNKNOWN}
            if not on_gpu:
                claims.append(("cpu", match.group()))
            elif any(backend not in ("cpu", UNKNOWN) for backend, _ in claims):
                claims.append((claims[0][0], match.group()))
            else:
                claims.append((gpus.pop() if len(gpus) == 1 else UNKNOWN, match.group()))
    evidence = [text for _, text in claims]
    if devices:
        evidence.append("devices: " + ", ".join(f"{d.name} ({d.description})" for d in devices))
    claimed = {backend for backend, _ in claims}
    backend = claimed.pop() if len(claimed) == 1 else UNKNOWN
    if devices and backend not in families:
        backend = UNKNOWN
    return backend, "; ".join(evidence)
