"""Reduce the loss of quantising a LoRA at the same size, by storing other factors of the same ΔW.

ΔW = up @ down = (up @ G) @ (G^-1 @ down) for every invertible G. Two methods reduce the loss of quantising.

- The values of a block share a scale, so they should have similar magnitudes. The factors are expressed in an
  orthogonal basis of the singular vectors, each factor gets the square root of the singular values, and a random
  rotation mixes them. Then all rows and all columns have similar norms.
- Rows of ``down`` that are not yet rounded can compensate for the error of a rounded row, because ``up`` mixes them.
  The rows are rounded one after another, and the error is passed on to the remaining rows, as GPTQ does with the
  columns of a weight (https://arxiv.org/abs/2210.17323). The loss then depends on the geometric mean of the squared
  singular values instead of the arithmetic mean. The same applies to the columns of ``up``.

The result consists of ordinary blocks that every reader can decode.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from harness.converter import block_codes
from harness.converter.cast import cast
from harness.converter.modules import Layout, Module
from harness.converter.plan import PLAIN, TensorPlan
from harness.formats.tensor import Bytes, Tensor, decoded
from harness.quantising.quantiser import Quantiser

F64 = NDArray[np.float64]
#: The share of the mean diagonal that is added to the diagonal of a Gram matrix before it is inverted.
DAMPING = 1e-6
#: The seed of the random rotation.
SEED = 20_240
#: The methods that are tried: unchanged factors, the basis of the singular vectors, this basis rotated, and the rotated
#: basis with errors passed on.
METHODS = ("plain", "svd", "rotated", "error feedback")
#: The rank is padded to a multiple of this number, the block size of the types that short rows can have.
WIDTH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraPair:
    """The stored factors of a ΔW: their bytes, and the squared error ‖up @ down - ΔW‖²."""

    up: Bytes
    down: Bytes
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFactor:
    """A rounded factor: its bytes, and the values [rows, row] that a reader decodes from them."""

    raw: Bytes
    values: F64


class Rebalancer:
    """Computes other factors for the LoRA modules of a file whose factors are matrices.

    ``plans`` has the plans of all tensors. ``computed`` returns functions for the bytes of the changed tensors. The
    pair of a module is computed when its first factor is written, and kept until the second one is written.

    ``wanted`` are the types in order of preference; with ``pad`` the rank is padded if a factor would otherwise not be
    quantised.
    """

    def __init__(
        self,
        adapter: Layout,
        plans: Sequence[TensorPlan],
        quantiser: Quantiser,
        wanted: Sequence[str],
        *,
        pad: bool,
    ) -> None:
        self._quantiser = quantiser
        self._modules: dict[str, tuple[Module, str]] = {}
        self._pairs: dict[str, LoraPair] = {}
        self._by_name = {planned.tensor.name: planned for planned in plans}
        for module in adapter.modules.values():
            if module.kind == "lora" and all(self._can_make(module.parts[p]) for p in ("up", "down")):
                self._add(module, wanted, pad=pad)
        self.plans = list(self._by_name.values())

    def _can_make(self, factor: Tensor) -> bool:
        """Return whether a factor is a matrix and its planned type can be made from other values."""
        kind = self._by_name[factor.name].kind
        return len(factor.shape) == 2 and (kind in PLAIN or kind in self._quantiser.types())

    def _add(self, module: Module, wanted: Sequence[str], *, pad: bool) -> None:
        """Include a module if one of its factors is quantised, and pad its rank if necessary."""
        up, down = module.parts["up"], module.parts["down"]
        rank = down.shape[0]
        width = rank + -rank % WIDTH
        if pad and width != rank and not self._by_name[up.name].info:
            info = next(
                (
                    i
                    for i in (self._quantiser.info(n) for n in wanted if n not in PLAIN)
                    if width % i.block == 0
                ),
                None,
            )
            if info is not None:
                self._by_name[up.name] = TensorPlan(
                    tensor=up,
                    kind=info.name,
                    why=f"rank padded to {width}",
                    info=info,
                    padded=(up.shape[0], width),
                )
                self._by_name[down.name] = dataclasses.replace(
                    self._by_name[down.name], padded=(width, down.shape[1])
                )
                if "alpha" in module.parts:
                    alpha = module.parts["alpha"]
                    self._by_name[alpha.name] = TensorPlan(
                        tensor=alpha, kind="F32", why="adjusted, so that alpha / rank is unchanged"
                    )
                    self._modules[alpha.name] = module, "alpha"
        if self._by_name[up.name].info or self._by_name[down.name].info:
            self._modules[up.name], self._modules[down.name] = (module, "up"), (module, "down")

    def computed(self) -> dict[str, Callable[[], Bytes]]:
        """Return a function for each changed tensor, by name, that returns its bytes."""
        return {name: partial(self._bytes, name) for name in self._modules}

    def _bytes(self, name: str) -> Bytes:
        """Return the bytes of a changed tensor."""
        module, part = self._modules[name]
        width = self._by_name[module.parts["down"].name].shape[0]
        if part == "alpha":
            alpha = module.parts["alpha"].values() * (width / module.parts["down"].shape[0])
            return cast(alpha, "F32")
        if module.key in self._pairs:
            pair = self._pairs.pop(module.key)
        else:
            pair = self._pairs[module.key] = self._pair(module, width)
        return pair.up if part == "up" else pair.down

    def _pair(self, module: Module, width: int) -> LoraPair:
        """Return the best factors of a module with rank ``width``."""
        up, down = (module.parts[p].values().astype(np.float64) for p in ("up", "down"))
        kinds = tuple(self._by_name[module.parts[p].name].kind for p in ("up", "down"))
        return rebalance_pair(up, down, (kinds[0], kinds[1]), self._quantiser, width)


def rebalance_pair(
    up: F64, down: F64, kinds: tuple[str, str], quantiser: Quantiser, width: int = 0
) -> LoraPair:
    """Return the factors with the smallest error among ``METHODS``, for ``up`` [out, rank] and ``down`` [rank, inner].

    ``kinds`` are the types of up and down. A ``width`` larger than the rank pads the rank. The error is never larger
    than that of the unchanged factors with the same width.
    """
    rank = up.shape[1]
    width = max(width, rank)
    exact_up = np.pad(up, ((0, 0), (0, width - rank)))
    exact_down = np.pad(down, ((0, width - rank), (0, 0)))
    pairs = []
    for method in METHODS:
        if method == "plain":
            left, right = exact_up, exact_down
        else:
            left, right = _spectral(up, down, kinds, width, rotate=method != "svd")
        if method == "error feedback":
            second = _round_rows(right, left, kinds[1], quantiser)
            refitted = _best_up(left, right, second.values)
            first = _round_columns(refitted, second.values, kinds[0], quantiser)
        else:
            first, second = _round(left, kinds[0], quantiser), _round(right, kinds[1], quantiser)
        error = _error(exact_up, exact_down, first.values, second.values)
        pairs.append(LoraPair(up=first.raw, down=second.raw, error=error))
    return min(pairs, key=lambda pair: pair.error)


def _round(values: F64, kind: str, quantiser: Quantiser) -> StoredFactor:
    """Return values [rows, row] rounded to a type."""
    if kind in PLAIN:
        raw = cast(values, kind)
        return StoredFactor(raw=raw, values=decoded(raw, kind).reshape(values.shape).astype(np.float64))
    raw = quantiser.nearest(values, kind)
    return StoredFactor(raw=raw, values=quantiser.dequantise(raw, kind).astype(np.float64))


def _spectral(up: F64, down: F64, kinds: tuple[str, str], width: int, *, rotate: bool) -> tuple[F64, F64]:
    """Return factors [out, width] and [width, inner] in the basis of the singular vectors.

    If only one factor is float, it gets the singular values. Otherwise both factors get their square roots. With
    ``rotate`` a random rotation mixes the basis.
    """
    left, first = np.linalg.qr(up)
    right, second = np.linalg.qr(down.T)
    a, sigma, b = np.linalg.svd(first @ second.T)
    share = {(True, False): 1.0, (False, True): 0.0}.get((kinds[0] in PLAIN, kinds[1] in PLAIN), 0.5)
    new_up = (left @ a) * sigma**share
    new_down = (sigma ** (1 - share))[:, None] * (b @ right.T)
    spare = width - new_up.shape[1]
    new_up, new_down = np.pad(new_up, ((0, 0), (0, spare))), np.pad(new_down, ((0, spare), (0, 0)))
    if not rotate:
        return new_up, new_down
    matrix = rotation(width)
    return new_up @ matrix, matrix.T @ new_down


def rotation(width: int) -> F64:
    """Return an orthogonal matrix [width, width] that mixes all coordinates.

    It is a Hadamard matrix with random signs if ``width`` is a power of two, and a random matrix otherwise.
    """
    generator = np.random.default_rng(SEED)
    if width & (width - 1) == 0:
        hadamard = np.ones((1, 1))
        while hadamard.shape[0] < width:
            hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
        signed: F64 = generator.choice([-1.0, 1.0], width)[:, None] * hadamard / np.sqrt(width)
        return signed
    orthogonal, triangle = np.linalg.qr(generator.standard_normal((width, width)))
    result: F64 = orthogonal * np.sign(np.diag(triangle))
    return result


def _feedback(gram: F64) -> F64:
    """Return the upper triangular U with (gram + damping)^-1 = Uᵀ U. Row i distributes the error of row i."""
    size = len(gram)
    damped = gram + np.eye(size) * max(DAMPING * float(np.trace(gram)) / size, 1e-30)
    upper: F64 = np.linalg.cholesky(np.linalg.inv(damped)).T
    return upper


def _round_rows(values: F64, left: F64, kind: str, quantiser: Quantiser) -> StoredFactor:
    """Return ``values`` [rank, inner], rounded row by row so that ``left @ values`` changes little."""
    if kind in PLAIN:
        return _round(values, kind, quantiser)
    upper = _feedback(left.T @ left)
    rest, raws, rounded = values.copy(), [], np.empty_like(values)
    for i in range(len(values)):
        row = _round(rest[i : i + 1], kind, quantiser)
        raws.append(row.raw)
        rounded[i] = row.values[0]
        rest[i + 1 :] -= np.outer(upper[i, i + 1 :] / upper[i, i], rest[i] - rounded[i])
    return StoredFactor(raw=np.concatenate(raws), values=rounded)


def _round_columns(values: F64, right: F64, kind: str, quantiser: Quantiser) -> StoredFactor:
    """Return ``values`` [out, rank], rounded column by column so that ``values @ right`` changes little.

    A block has many columns. ggml chooses the scale of a block, and ``_round_block`` chooses the codes, one column
    after another. Types that ``block_codes`` does not support are rounded block by block.
    """
    if kind in PLAIN:
        return _round(values, kind, quantiser)
    upper = _feedback(right @ right.T)
    rest, rounded = values.copy(), np.empty_like(values)
    block = quantiser.info(kind).block
    raws = []
    for start in range(0, values.shape[1], block):
        stop = start + block
        columns = _round(rest[:, start:stop], kind, quantiser)
        if block_codes.supports(kind):
            columns = _round_block(columns.raw, rest, range(start, stop), upper, kind)
        else:
            # The error of the block is passed on to the later columns at once.
            difference: F64 = np.asarray(rest[:, start:stop] - columns.values)
            error = np.linalg.solve(upper[start:stop, start:stop].T, difference.T)
            rest[:, stop:] -= error.T @ upper[start:stop, stop:]
        raws.append(columns.raw)
        rounded[:, start:stop] = columns.values
    return StoredFactor(raw=np.concatenate(raws, axis=1), values=rounded)


def _round_block(raw: Bytes, rest: F64, columns: range, upper: F64, kind: str) -> StoredFactor:
    """Round ``columns`` of ``rest`` with the scales of the blocks ``raw``, column by column.

    The error of each column is passed on to all later columns of ``rest``.
    """
    grid = block_codes.grid(raw, kind)
    codes, values = np.empty((len(rest), len(columns))), np.empty((len(rest), len(columns)))
    for j, column in enumerate(columns):
        codes[:, j] = grid.codes(rest[:, column], 0)
        values[:, j] = grid.values(codes[:, j], 0)
        error = (rest[:, column] - values[:, j]) / upper[column, column]
        rest[:, column + 1 :] -= np.outer(error, upper[column, column + 1 :])
    return StoredFactor(raw=block_codes.with_codes(raw, codes, kind), values=values)


def _best_up(left: F64, right: F64, rounded: F64) -> F64:
    """Return the ``up`` for which ``up @ rounded`` is closest to ``left @ right``, by least squares."""
    gram = rounded @ rounded.T
    size = len(gram)
    damped: NDArray[np.floating] = gram + np.eye(size) * max(1e-10 * float(np.trace(gram)) / size, 1e-30)
    up: F64 = np.linalg.solve(damped, (rounded @ right.T) @ left.T).T
    return up


def _error(up: F64, down: F64, new_up: F64, new_down: F64) -> float:
    """Return ‖up @ down - new_up @ new_down‖². The products are not formed."""
    left, right = np.hstack([up, -new_up]), np.vstack([down, new_down])
    # The QR decomposition avoids a small difference of large squares, which would lose precision.
    (_, first), (_, second) = np.linalg.qr(left), np.linalg.qr(right.T)
    return float(np.linalg.norm(first @ second.T) ** 2)
