"""On which backend a context runs, read from what the library logged while it was opened.

Upstream falls back to the CPU in silence when a device does not start, so neither the build's options
nor the list of devices is proof. Three things speak, and must agree:

- ``Using CPU backend`` and its like: before 2026 logged for every backend, *before* it is started, and
  again for the CPU if that failed, so the last one counts; since then for the CPU only.
- ``total params memory size``: it says for the diffusion model RAM or VRAM by ``ggml_backend_is_cpu``.
- ggml's list of devices: a backend in use has a device there; where the log says only VRAM, the one
  GPU family of the list is meant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sdcpp.binding.ggml import GgmlDevice
from sdcpp.binding.library import LogLine
from sdcpp.machine.device_families import backend_of

#: The answer when nothing was said, or contradictory things.
UNKNOWN = "unknown"

# "CLIP: Using CPU backend" speaks of one part of the model only, so nothing may stand before "Using".
_USING = re.compile(r"^(?:\S+:\s*\d+\s+- )?Using (\w+) backend$")
_MEMORY = re.compile(r"total params memory size = .*?(?:diffusion_model|unet) [\d.]+ ?MB ?\((V?RAM)\)")


def _backend(name: str) -> str:
    return backend_of(name) or UNKNOWN


def backend_in_use(lines: Sequence[LogLine], devices: Sequence[GgmlDevice]) -> tuple[str, str]:
    """Return the backend in use, or UNKNOWN, and the evidence as one line of text."""
    claims: list[tuple[str, str]] = []
    for line in lines:
        if match := _USING.match(line.text):
            claims = [(_backend(match.group(1)), line.text)]
    families = {_backend(device.registry) for device in devices}
    for line in lines:
        if match := _MEMORY.search(line.text):
            on_gpu = match.group(1) == "VRAM"
            gpus = families - {"cpu", UNKNOWN}
            if not on_gpu:
                claims.append(("cpu", match.group()))
            elif any(claim not in ("cpu", UNKNOWN) for claim, _ in claims):
                claims.append((claims[0][0], match.group()))
            else:
                claims.append((gpus.pop() if len(gpus) == 1 else UNKNOWN, match.group()))
    evidence = [text for _, text in claims]
    if devices:
        evidence.append("devices: " + ", ".join(f"{d.name} ({d.description})" for d in devices))
    said = {claim for claim, _ in claims}
    backend = said.pop() if len(said) == 1 else UNKNOWN
    if devices and backend not in families:
        backend = UNKNOWN
    return backend, "; ".join(evidence)
