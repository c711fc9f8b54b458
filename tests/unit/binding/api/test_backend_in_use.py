from __future__ import annotations

import pytest

from sdcpp.binding.api import (
    backend_in_use,
)
from sdcpp.binding.ggml import GgmlDevice
from sdcpp.binding.library import LogLine


def line(text: str) -> LogLine:
    return LogLine(level="debug", text=f"stable-diffusion.cpp:190  - {text}")


def memory(where: str) -> LogLine:
    return line(
        "total params memory size = 3.50MB (VRAM 1.00MB, RAM 2.50MB): text_encoders 1.00MB(RAM), "
        f"diffusion_model 2.00MB({where}), vae 0.50MB(RAM), controlnet 0.00MB(VRAM), pmid 0.00MB(RAM)"
    )


CPU = GgmlDevice(name="CPU", description="Xeon", kind="cpu", registry="CPU")

CUDA = GgmlDevice(name="CUDA0", description="H200", kind="gpu", registry="CUDA")

VULKAN = GgmlDevice(name="Vulkan0", description="llvmpipe", kind="gpu", registry="Vulkan")

METAL = GgmlDevice(name="MTL0", description="M4", kind="gpu", registry="MTL")

USING_CPU, USING_CUDA, USING_VULKAN = (line(f"Using {name} backend") for name in ("CPU", "CUDA", "Vulkan"))


@pytest.mark.parametrize(
    ("lines", "devices", "backend"),
    [
        ([USING_CPU, memory("RAM")], [], "cpu"),
        ([USING_CPU, memory("RAM")], [CPU], "cpu"),
        ([USING_CUDA, memory("VRAM")], [], "cuda"),
        # upstream logs Vulkan before it tries to start it, and then uses the CPU
        ([USING_VULKAN, USING_CPU, memory("RAM")], [VULKAN, CPU], "cpu"),
        # newer revisions log only the CPU
        ([memory("VRAM")], [CUDA, CPU], "cuda"),
        ([memory("VRAM")], [METAL, CPU], "metal"),
        ([memory("RAM")], [CUDA, CPU], "cpu"),
        # one part of the model is on the CPU, the diffusion model is not
        ([USING_CUDA, line("CLIP: Using CPU backend"), memory("VRAM")], [CUDA, CPU], "cuda"),
        # contradictions
        ([USING_CPU, memory("VRAM")], [CUDA, CPU], "unknown"),
        ([USING_CUDA, memory("VRAM")], [CPU], "unknown"),
        ([USING_CUDA, memory("RAM")], [CUDA, CPU], "unknown"),
        ([memory("VRAM")], [CUDA, VULKAN, CPU], "unknown"),
        ([memory("VRAM")], [], "unknown"),
        ([], [CPU], "unknown"),
    ],
)
def test_the_backend_is_read_from_the_log(
    lines: list[LogLine], devices: list[GgmlDevice], backend: str
) -> None:
    found, said = backend_in_use.backend_in_use(lines, devices)
    assert found == backend
    assert all(device.name in said for device in devices)
