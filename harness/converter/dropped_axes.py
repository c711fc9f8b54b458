"""Restore the axes of length 1 that writers of GGUF drop.

ggml stores axes in the reverse order and does not store trailing axes of length 1 (``ggml_n_dims``). In PyTorch's order
these are the first axes: a factor [1, in] of rank 1 comes back as [in], a kernel [1, in, 3, 3] as [in, 3, 3]. The other
factor of a module has the rank, which tells whether an axis is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from harness.formats.tensor import Tensor

#: Pairs of factors whose product is the change: [out, rank, ...] and [rank, in, ...].
_PRODUCTS = (
    ("up", "down"),
    ("hada_w1_a", "hada_w1_b"),
    ("hada_w2_a", "hada_w2_b"),
    ("lokr_w1_a", "lokr_w1_b"),
    ("lokr_w2_a", "lokr_w2_b"),
)
#: For each core [rank, rank, height, width] of a Tucker decomposition: its factors and the number of their axes.
_CORES = {
    "mid": ("up", "down", 4),
    "hada_t1": ("hada_w1_a", "hada_w1_b", 2),
    "hada_t2": ("hada_w2_a", "hada_w2_b", 2),
    "lokr_t2": ("lokr_w2_a", "lokr_w2_b", 2),
}


def restored(parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a module by part, with the axes of length 1 that were dropped.

    Tensors that lack none are returned as they are. Only shapes are read.
    """
    found = dict(parts)
    for core, (first, second, axes) in _CORES.items():
        if core in found:
            found[core] = _with_axes(found[core], 2, 4)
            for factor in (first, second):
                if factor in found:
                    found[factor] = _with_axes(found[factor], axes - 1, axes)
    for first, second in _PRODUCTS:
        if first in found and second in found:
            found[first] = _first(found[first], found[second])
            found[second] = _second(found[second], found[first])
    for part in ("lokr_w1", "lokr_w2"):
        if part in found:
            shape = found[part].shape
            # Of three axes, the last two are those of a square kernel.
            kernel = len(shape) == 3 and shape[1] == shape[2]
            found[part] = _with_axes(found[part], 3, 4) if kernel else _with_axes(found[part], 1, 2)
    if "dora" in found:
        found["dora"] = _magnitude(found["dora"], found)
    return found


def _with_axes(tensor: Tensor, stored: int, wanted: int) -> Tensor:
    """Return a tensor of ``wanted`` axes if it has ``stored`` axes; any other tensor is returned as it is."""
    if len(tensor.shape) != stored:
        return tensor
    return replace(tensor, shape=(1,) * (wanted - stored) + tensor.shape)


def _first(tensor: Tensor, second: Tensor) -> Tensor:
    """Return the factor [out, rank] or [out, rank, 1, 1] that belongs to ``second``. Its first axis may be missing."""
    shape = tensor.shape
    if len(shape) == 3 and shape[1:] == (1, 1) and len(second.shape) == 4 and shape[0] == second.shape[0]:
        return _with_axes(tensor, 3, 4)
    return _with_axes(tensor, 1, 2)


def _second(tensor: Tensor, first: Tensor) -> Tensor:
    """Return the factor [rank, in, ...] that belongs to ``first``. Its first axis may be missing if the rank is 1."""
    shape = tensor.shape
    if not shape or len(first.shape) < 2 or first.shape[1] != 1:
        return tensor
    # A first axis of length 1 may be that of the inputs. A kernel has as many axes as the other factor.
    kernel = len(first.shape) == 4 and len(shape) > 1
    if shape[0] != 1 or len(shape) == 1 or (len(shape) == 3 and kernel):
        return _with_axes(tensor, len(shape), 4 if kernel else len(shape) + 1)
    return tensor


def _magnitude(tensor: Tensor, parts: Mapping[str, Tensor]) -> Tensor:
    """Return the magnitudes [1, in] or [1, out, 1, 1] of a DoRA; those of shape [out] lack no axis."""
    pair = next(((parts[a], parts[b]) for a, b in _PRODUCTS if a in parts and b in parts), None)
    if pair is None or len(pair[1].shape) < 2 or not tensor.shape:
        return tensor
    (out, *_), (_, inputs, *kernel), shape = pair[0].shape, pair[1].shape, tensor.shape
    if shape == (inputs,) != (out,) or (len(shape) == 3 and shape[1:] == (1, 1) and len(kernel) == 2):
        return replace(tensor, shape=(1, *shape))
    return tensor
