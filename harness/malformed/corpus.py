"""Broken files: several hundred, each a healthy tiny file with one thing wrong, made by recipe.

Wanted of a library is that it refuses a file, or makes the picture without the adapter and logs a warning. It
must neither abort nor hang, and must not make another picture. See ``harness.cases.malformed_file_case`` for
the judgement.
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
    """Return the recipes of all broken files for a base model, always the same and in the same order."""
    healthy = sound_file(base)
    modules = (
        gguf_header,
        gguf_tensors,
        safetensors_header,
        safetensors_tensors,
        ckpt_pickle,
        ckpt_zip,
        adapter_shapes,
    )
    return (*(recipe for module in modules for recipe in module.recipes(healthy)), *paths.recipes())
