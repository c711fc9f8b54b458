"""Layers of base models as tensors with random values: the building blocks of every family."""

from __future__ import annotations

import math
from collections.abc import Mapping

from harness.models.base_model import Weight, Weights


def linear(
    name: str, out: int, inner: int, *, gain: float = 1.0, bias: bool = True, dtype: str = "F16"
) -> Weights:
    """Return the tensors of a linear layer. Its outputs have ``gain`` times the standard deviation of its inputs."""
    weights = {f"{name}.weight": Weight(shape=(out, inner), std=gain / math.sqrt(inner), dtype=dtype)}
    if bias:
        weights[f"{name}.bias"] = Weight(shape=(out,), std=0.02, dtype="F32")
    return weights


def conv(name: str, out: int, inner: int, size: int, *, gain: float = 1.0, bias: bool = True) -> Weights:
    """Return the tensors of a convolution with a kernel of ``size`` by ``size``; see ``linear`` for ``gain``."""
    std = gain / math.sqrt(inner * size * size)
    weights = {f"{name}.weight": Weight(shape=(out, inner, size, size), std=std)}
    if bias:
        weights[f"{name}.bias"] = Weight(shape=(out,), std=0.02, dtype="F32")
    return weights


def gated_mlp(name: str, width: int, mlp: int, *, dtype: str = "F16") -> Weights:
    """Return the matrices of a gated MLP as language models have it. ``mlp`` is the width between them."""
    return {
        **linear(f"{name}.gate_proj", mlp, width, bias=False, dtype=dtype),
        **linear(f"{name}.up_proj", mlp, width, bias=False, dtype=dtype),
        **linear(f"{name}.down_proj", width, mlp, bias=False, dtype=dtype),
    }


def norm(name: str, width: int) -> Weights:
    """Return the tensors of a layer norm or a group norm."""
    return scale(f"{name}.weight", width) | {
        f"{name}.bias": Weight(shape=(width,), std=0.05, dtype="F32"),
    }


def scale(name: str, width: int) -> Weights:
    """Return the one tensor of an RMS norm; ``name`` is its whole name."""
    return {name: Weight(shape=(width,), std=0.05, mean=1.0, dtype="F32")}


def zero_centred_scale(name: str, width: int) -> Weights:
    """Return the one tensor of an RMS norm to whose scale the model adds 1; ``name`` is its whole name."""
    return {name: Weight(shape=(width,), std=0.05, dtype="F32")}


def vector(name: str, *shape: int) -> Weights:
    """Return a learned vector, in F32, or a table of embeddings, in F16; ``name`` is its whole name."""
    return {name: Weight(shape=shape, std=0.3, dtype="F32" if len(shape) == 1 else "F16")}


def prefixed(prefix: str, weights: Mapping[str, Weight]) -> Weights:
    """Return the tensors with a prefix before each name. A checkpoint of several models uses such prefixes."""
    return {prefix + name: weight for name, weight in weights.items()}
