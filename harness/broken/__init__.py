"""Broken files: several hundred, each a healthy tiny file with one thing wrong, made by recipe.

Wanted of a library is that it refuses a file, or makes the picture without the adapter and logs a warning. It
must neither abort nor hang, and must not make another picture. See ``harness.robustness`` for the judgement.
"""

from __future__ import annotations

from harness.base import Base
from harness.broken import (
    archive,
    ckpt,
    gguf,
    gguf_tensors,
    paths,
    safetensors,
    safetensors_entries,
    shapes,
)
from harness.broken.recipe import Recipe
from harness.broken.seed import seed


def corpus(base: Base) -> tuple[Recipe, ...]:
    """Return the recipes of all broken files for a base model, always the same and in the same order."""
    healthy = seed(base)
    modules = (gguf, gguf_tensors, safetensors, safetensors_entries, ckpt, archive, shapes)
    return (*(recipe for module in modules for recipe in module.recipes(healthy)), *paths.recipes())
