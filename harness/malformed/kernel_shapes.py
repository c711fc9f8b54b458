"""Well-formed files with a pair for a convolution whose kernel is not that of the layer.

A pair for a convolution is ``lora_down`` [rank, in, kh, kw] and ``lora_up`` [out, rank, 1, 1]
(https://github.com/kohya-ss/sd-scripts, networks/lora.py). The pair has as many values as one that fits, so that only
the shape tells them apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from harness.malformed.adapter_shapes import written
from harness.malformed.malformed_file import REST, WHOLE, MalformedFile, malformed_file
from harness.malformed.sound_file import RANK, SoundFile
from harness.models.base_model import Base

#: The group of the convolutions of 3x3.
GROUP = "conv3x3"
#: The kernels, as height and width.
_KERNELS = ((1, 3), (3, 1))


def recipes(base: Base, sound: SoundFile) -> Iterator[MalformedFile]:
    """Yield the recipes for a base model, or none if it has no convolutions that adapters change.

    The files have the valid pairs, too, which a library may apply if it logs a warning.
    """
    for target, (role, name) in list(base.group(GROUP).items())[:1]:
        out, inner, height, width = base.files[role][name].shape
        key = f"lora_unet_{target.replace('.', '_')}"
        generator = np.random.default_rng(7)
        up = generator.standard_normal((out, RANK, 1, 1)).astype(np.float16)
        values = generator.standard_normal((RANK, inner * height * width)) / np.sqrt(inner)
        for high, wide in _KERNELS:
            channels = inner * height * width // (high * wide)
            down = values.astype(np.float16).reshape(RANK, channels, high, wide)
            pair = {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up}
            yield malformed_file(
                "safetensors",
                f"kernel-{high}x{wide}",
                f"a kernel of {high}x{wide} for a layer of {height}x{width}, with as many values",
                partial(written, sound, "safetensors", {**sound.tensors, **pair}),
                accept=REST | WHOLE,
                in_every_mode=True,
            )
    for target, (role, name) in base.group(GROUP).items():
        out, inner, height, width = base.files[role][name].shape
        if out != inner:
            key = f"lora_unet_{target.replace('.', '_')}"
            pair = {
                f"{key}.lora_down.weight": np.ones((RANK, out, height, width), np.float16),
                f"{key}.lora_up.weight": np.ones((inner, RANK, 1, 1), np.float16),
            }
            yield malformed_file(
                "safetensors",
                "kernel-transposed",
                "a pair for a layer with the numbers of inputs and outputs exchanged",
                partial(written, sound, "safetensors", {**sound.tensors, **pair}),
                accept=REST | WHOLE,
                in_every_mode=True,
            )
            return
