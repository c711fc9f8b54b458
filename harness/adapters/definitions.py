"""The change ΔW that each kind of adapter defines, computed in float64 by the published formulas.

No code here comes from stable-diffusion.cpp. ``harness.converter.weight_change`` computes the same changes from the
tensors of a file. The two are independent on purpose, and a test compares them (tests/unit/converter/
test_weight_change.py).

A weight has PyTorch's shape: (out, in), or (out, in, kh, kw) for a convolution. Factors have the names that files
use: ``down``, ``up``, ``mid``, ``hada_*``, ``lokr_*``, ``diff``, ``diff_b``, ``dora_scale``. The
functions return changes that are not yet scaled by alpha / rank.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Shape = tuple[int, ...]
FactorArrays = Mapping[str, F64]


def lora(factors: FactorArrays, shape: Shape) -> F64:
    """Return up @ down (Hu et al., https://arxiv.org/abs/2106.09685, section 4.1).

    ``down`` is [rank, in] and ``up`` is [out, rank]. For a convolution ``down`` is [rank, in, kh, kw] and ``up`` is
    [out, rank, 1, 1], which means two successive convolutions (LyCORIS, Yeh et al., https://arxiv.org/abs/2309.14859,
    section 3.2).
    """
    up, down = factors["up"], factors["down"]
    return (up.reshape(up.shape[0], -1) @ down.reshape(down.shape[0], -1)).reshape(shape)


def tucker(factors: FactorArrays, shape: Shape) -> F64:
    """Return the Tucker decomposition of a kernel: Σ_pq up[o, p] mid[p, q, h, w] down[q, i].

    ``down`` is [rank, in, 1, 1], ``mid`` is [rank, rank, kh, kw] and ``up`` is [out, rank, 1, 1], which means three
    successive convolutions (LyCORIS, https://arxiv.org/abs/2309.14859, appendix B; ``tucker_weight_from_conv`` of its
    repository).
    """
    up, mid, down = factors["up"], factors["mid"], factors["down"]
    up, down = up.reshape(up.shape[:2]), down.reshape(down.shape[:2])
    change: F64 = np.einsum("op,pqhw,qi->oihw", up, mid, down, optimize=True)
    return change.reshape(shape)


def loha(factors: FactorArrays, shape: Shape) -> F64:
    """Return (w1_a @ w1_b) ∘ (w2_a @ w2_b) (FedPara, https://arxiv.org/abs/2108.06098; LyCORIS' LoHa).

    ``hada_w*_a`` is [out, rank] and ``hada_w*_b`` is [rank, in * kh * kw]. The product ∘ is element by element.
    """
    first = factors["hada_w1_a"] @ factors["hada_w1_b"]
    return (first * (factors["hada_w2_a"] @ factors["hada_w2_b"])).reshape(shape)


def loha_tucker(factors: FactorArrays, shape: Shape) -> F64:
    """Return the product, element by element, of two Tucker decompositions.

    ``hada_t*`` is [rank, rank, kh, kw]. ``hada_w*_a`` is [rank, out] and belongs to the first axis of ``hada_t*``,
    ``hada_w*_b`` is [rank, in] and belongs to the second (FedPara, proposition 3; LyCORIS' LoHa with ``use_tucker``).
    """
    halves: list[F64] = [
        np.einsum(
            "pqhw,po,qi->oihw",
            factors[f"hada_t{n}"],
            factors[f"hada_w{n}_a"],
            factors[f"hada_w{n}_b"],
            optimize=True,
        )
        for n in (1, 2)
    ]
    return (halves[0] * halves[1]).reshape(shape)


def lokr(factors: FactorArrays, shape: Shape) -> F64:
    """Return w1 ⊗ w2 (KronA, https://arxiv.org/abs/2212.10650; LyCORIS' LoKr).

    w1 is stored as one matrix [a, c], or as w1_a [a, rank] @ w1_b [rank, c]. w2 is stored in one of three forms: as one
    array [b, d, kh, kw], as w2_a [b, rank] @ w2_b [rank, d * kh * kw], or as the Tucker product of t2
    [rank, rank, kh, kw], w2_a [rank, b] and w2_b [rank, d]. The shape of the weight follows from out = a * b and
    in = c * d. Files use these names with the prefix ``lokr_``.
    """
    first = factors["lokr_w1"] if "lokr_w1" in factors else factors["lokr_w1_a"] @ factors["lokr_w1_b"]
    if "lokr_w2" in factors:
        second = factors["lokr_w2"]
    elif "lokr_t2" in factors:
        second = np.einsum(
            "pqhw,pb,qd->bdhw",
            factors["lokr_t2"],
            factors["lokr_w2_a"],
            factors["lokr_w2_b"],
            optimize=True,
        )
    else:
        left, right = factors["lokr_w2_a"], factors["lokr_w2_b"]
        second = left @ right.reshape(right.shape[0], -1)
    kernel = shape[2:]
    b, d = shape[0] // first.shape[0], shape[1] // first.shape[1]
    second = second.reshape(b, d, *kernel)
    return np.asarray(np.kron(first.reshape(*first.shape, *(1 for _ in kernel)), second), np.float64)


def diff(factors: FactorArrays, shape: Shape) -> F64:
    """Return the stored difference of the weight, [out, in(, kh, kw)] (LyCORIS' "full"; it has no alpha)."""
    return factors["diff"].reshape(shape)


def diff_b(factors: FactorArrays, shape: Shape) -> F64:
    """Return the stored difference of the bias, [out] (LyCORIS' "full" and "norm")."""
    return factors["diff_b"].reshape(shape)


def decompose(weight: F64, delta: F64, magnitude: F64) -> F64:
    """Return DoRA's change: m (W + ΔW) / ||W + ΔW|| - W (Liu et al., https://arxiv.org/abs/2402.09353, equation 5).

    m is ``magnitude``, and its shape decides which norms are computed. With [out, 1, ...] or [out] there is one norm
    for each output, as in the authors' code (github.com/NVlabs/DoRA), PEFT and LyCORIS with ``wd_on_out``. With
    [1, in, ...] there is one norm for each input, as in the paper's formula and in older LyCORIS. With [1, out, 1, 1],
    where out and in differ, there is one norm for each output: PEFT stores the magnitudes of convolutions like this
    (tuners/lora/dora.py). If they are equal, the shape cannot tell the two apart and means inputs. ``weight`` and
    ``delta`` have the same shape. Only in training is the norm treated as a constant (section 4.3).
    """
    total = weight + delta
    per_input = magnitude.ndim > 1 and magnitude.shape[0] == 1 and magnitude.shape[1] == weight.shape[1]
    kept = 1 if per_input and magnitude.shape[1] > 1 else 0
    axes = tuple(axis for axis in range(total.ndim) if axis != kept)
    norm = np.sqrt(np.sum(total**2, axis=axes, keepdims=True))
    change: F64 = total * (magnitude.reshape(norm.shape) / norm) - weight
    return change
