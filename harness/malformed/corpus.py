"""All malformed files: several hundred, each a small valid file with one thing wrong.

A library must refuse such a file, or make the picture without the adapter and log a warning. It must not abort, hang,
or make another picture. ``harness.judging.survival`` judges what it does.
"""

from __future__ import annotations

from harness.malformed import (
    adapter_shapes,
    ckpt_pickle,
    ckpt_zip,
    gguf_header,
    gguf_tensors,
    paths,
    safetensors_header,
    safetensors_tensors,
)
from harness.malformed.malformed_file import MalformedFile
from harness.malformed.sound_file import sound_file
from harness.models.base_model import Base


def corpus(base: Base) -> tuple[MalformedFile, ...]:
    """Return the recipes of all malformed files for a base model, always in the same order."""
    sound = sound_file(base)
    modules = (
        gguf_header,
        gguf_tensors,
        safetensors_header,
        safetensors_tensors,
        ckpt_pickle,
        ckpt_zip,
        adapter_shapes,
    )
    return (*(recipe for module in modules for recipe in module.recipes(sound)), *paths.recipes())
