"""Find factors of the same ΔW that lose less when they are quantised, for many modules of one shape at a time.

ΔW = up @ down = (up @ G) @ (G^-1 @ down) for every invertible G. Two methods reduce the loss of quantising.

- The values of a block share a scale, so they should have similar magnitudes. The factors are expressed in an
  orthogonal basis of the singular vectors, each factor gets the square root of the singular values, and a random
  rotation mixes them. Then all rows and all columns have similar norms.
- Rows of ``down`` that are not yet rounded can compensate for the error of a rounded row, because ``up`` mixes them.
  The rows are rounded one after another, and the error is passed on to the remaining rows, as GPTQ does with the
  columns of a weight (https://arxiv.org/abs/2210.17323). The loss then depends on the geometric mean of the squared
  singular values instead of the arithmetic mean. The same applies to the columns of ``up``.

The result consists of ordinary blocks that every reader can decode. Row ``i`` of all modules is rounded in one call of
the quantiser, because a call takes longer than the rounding of one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.converter import block_codes
from harness.converter.cast import cast
from harness.converter.plan import PLAIN
from harness.formats.tensor import Bytes, decoded
from harness.quantising.quantiser import Quantiser

F64 = NDArray[np.float64]
#: The share of the mean diagonal that is added to the diagonal of a Gram matrix before it is inverted.
DAMPING = 1e-6
#: The seed of the random rotation.
SEED = 20_240


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraPair:
    """The stored factors of a ΔW: their bytes, and the squared error ‖up @ down - ΔW‖²."""

    up: Bytes
    down: Bytes
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFactors:
    """Rounded factors: the bytes [modules, bytes], and the values [modules, rows, row] that a reader decodes."""

    raw: Bytes
    values: F64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Basis:
    """Factors ``up`` [modules, out, rank] and ``down`` [modules, rank, inner] of the modules' ΔW."""

    up: F64
    down: F64

    def of(self, modules: NDArray[np.intp]) -> _Basis:
        """Return the factors of some of the modules."""
        return _Basis(up=self.up[modules], down=self.down[modules])

    def rotated(self) -> _Basis:
        """Return the factors with their basis mixed by a random rotation."""
        matrix = rotation(self.up.shape[2])
        return _Basis(up=self.up @ matrix, down=matrix.T @ self.down)


def lora_pairs(
    up: F64,
    down: F64,
    kinds: tuple[str, str],
    quantiser: Quantiser,
    width: int = 0,
    *,
    known: tuple[Bytes, Bytes] | None = None,
) -> list[LoraPair]:
    """Return the stored factors with the smallest error for each module.

    ``up`` is [modules, out, rank] and ``down`` [modules, rank, inner]. ``kinds`` are the types of up and down. A
    ``width`` larger than the rank pads the rank. Four ways are known: unchanged factors, the basis of the singular
    vectors, this basis rotated, and the rotated basis with errors passed on. So the error is never larger than that of
    the unchanged factors with the same width. The last way nearly always has the smallest error, so the second and the
    third are tried only where the last is not better than the first: for factors of rank 1, for example, and for
    factors that are rounded already. ``known`` are the bytes [modules, bytes] of up and of down as ``quantiser`` has
    rounded them before, with the rank ``width``.
    """
    width = max(width, up.shape[2])
    plain = _Basis(up=_padded(up, 2, width), down=_padded(down, 1, width))
    spectral = _spectral(up, down, kinds, width)
    rotated = spectral.rotated()
    if known is None:
        best = _pairs(plain, kinds, quantiser)
    else:
        a, b = (
            _decoded(raw, values, kind, quantiser)
            for raw, values, kind in zip(known, (plain.up, plain.down), kinds, strict=True)
        )
        best = _with_errors(plain, a, b)
    last = _pairs(rotated, kinds, quantiser, passes_on=True)
    others = np.flatnonzero([b.error >= a.error for a, b in zip(best, last, strict=True)])
    if others.size:
        for basis in (spectral.of(others), rotated.of(others)):
            for i, pair in zip(others, _pairs(basis, kinds, quantiser), strict=True):
                best[i] = min(best[i], pair, key=_error)
    return [min(pair, key=_error) for pair in zip(best, last, strict=True)]


def _pairs(
    basis: _Basis, kinds: tuple[str, str], quantiser: Quantiser, *, passes_on: bool = False
) -> list[LoraPair]:
    """Return the rounded factors of each module; with ``passes_on`` errors are passed on."""
    if passes_on:
        up, down = _with_errors_passed_on(basis, kinds, quantiser)
    else:
        up, down = _round(basis.up, kinds[0], quantiser), _round(basis.down, kinds[1], quantiser)
    return _with_errors(basis, up, down)


def _with_errors(basis: _Basis, up: StoredFactors, down: StoredFactors) -> list[LoraPair]:
    """Return rounded factors of a basis with their errors."""
    return [
        LoraPair(up=a, down=b, error=float(error))
        for a, b, error in zip(up.raw, down.raw, _errors(basis, up, down), strict=True)
    ]


def _decoded(raw: Bytes, values: F64, kind: str, quantiser: Quantiser) -> StoredFactors:
    """Return the bytes [modules, bytes] of rounded ``values`` [modules, rows, row] and what they decode to."""
    rows = raw.reshape(values.shape[0] * values.shape[1], -1)
    stored = decoded(rows, kind) if kind in PLAIN else quantiser.dequantise(rows, kind)
    return StoredFactors(raw=raw, values=stored.reshape(values.shape).astype(np.float64))


def _error(pair: LoraPair) -> float:
    return pair.error


def _padded(factor: F64, axis: int, width: int) -> F64:
    """Return factors with zeros at the end of an axis."""
    if width == factor.shape[axis]:
        return factor
    ends = [(0, width - factor.shape[axis]) if axis == each else (0, 0) for each in range(factor.ndim)]
    return np.pad(factor, ends)


def _round(values: F64, kind: str, quantiser: Quantiser) -> StoredFactors:
    """Return values [modules, rows, row] rounded to a type."""
    modules, row = len(values), values.shape[-1]
    flat = values.reshape(-1, row)
    if kind in PLAIN:
        raw = cast(flat, kind)
        stored = decoded(raw, kind)
    else:
        raw, stored = quantiser.nearest_with_values(flat, kind)
    return StoredFactors(raw=raw.reshape(modules, -1), values=stored.reshape(values.shape).astype(np.float64))


def _spectral(up: F64, down: F64, kinds: tuple[str, str], width: int) -> _Basis:
    """Return factors [modules, out, width] and [modules, width, inner] in the basis of the singular vectors.

    If only one factor is float, it gets the singular values. Otherwise both factors get their square roots.
    """
    left, first = np.linalg.qr(up)
    right, second = np.linalg.qr(_transposed(down))
    a, sigma, b = np.linalg.svd(first @ _transposed(second))
    share = {(True, False): 1.0, (False, True): 0.0}.get((kinds[0] in PLAIN, kinds[1] in PLAIN), 0.5)
    new_up = (left @ a) * (sigma**share)[:, None, :]
    new_down = (sigma ** (1 - share))[:, :, None] * (b @ _transposed(right))
    return _Basis(up=_padded(new_up, 2, width), down=_padded(new_down, 1, width))


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


def _with_errors_passed_on(
    basis: _Basis, kinds: tuple[str, str], quantiser: Quantiser
) -> tuple[StoredFactors, StoredFactors]:
    """Return up and down, rounded row by row of down and column by column of the up that then fits best."""
    second = _round_rows(basis.down, basis.up, kinds[1], quantiser)
    refitted = _best_up(basis.up, basis.down, second.values)
    return _round_columns(refitted, second.values, kinds[0], quantiser), second


def _feedback(grams: F64) -> F64:
    """Return the upper triangular U with (gram + damping)^-1 = Uᵀ U. Row i distributes the error of row i."""
    inverse = np.linalg.inv(_damped(grams, DAMPING))
    return _transposed(np.asarray(np.linalg.cholesky(inverse), np.float64))


def _damped(grams: F64, share: float) -> F64:
    """Return Gram matrices with a share of the mean of the diagonal added to the diagonal."""
    size = grams.shape[1]
    added = [max(share * float(np.trace(gram)) / size, 1e-30) for gram in grams]
    damped: F64 = grams + np.eye(size) * np.array(added)[:, None, None]
    return damped


def _round_rows(values: F64, left: F64, kind: str, quantiser: Quantiser) -> StoredFactors:
    """Return ``values`` [modules, rank, inner], rounded row by row so that ``left @ values`` changes little."""
    if kind in PLAIN:
        return _round(values, kind, quantiser)
    upper = _feedback(_transposed(left) @ left)
    rest, raws, rounded = values.copy(), [], np.empty_like(values)
    for i in range(values.shape[1]):
        row = _round(rest[:, i : i + 1], kind, quantiser)
        raws.append(row.raw)
        rounded[:, i] = row.values[:, 0]
        _pass_on(rest, i, upper[:, i, i + 1 :] / upper[:, i, i, None], rest[:, i] - rounded[:, i])
    return StoredFactors(raw=np.concatenate(raws, axis=1), values=rounded)


def _pass_on(rest: F64, i: int, shares: F64, error: F64) -> None:
    """Subtract the shares [modules, rows after i] of an error [modules, row] from the rows of ``rest`` after ``i``."""
    rest[:, i + 1 :] -= shares[:, :, None] * error[:, None, :]


def _round_columns(values: F64, right: F64, kind: str, quantiser: Quantiser) -> StoredFactors:
    """Return ``values`` [modules, out, rank], rounded column by column so that ``values @ right`` changes little.

    A block has many columns. ggml chooses the scale of a block, and ``_round_block`` chooses the codes, one column
    after another. Types that ``block_codes`` does not support are rounded block by block.
    """
    if kind in PLAIN:
        return _round(values, kind, quantiser)
    upper = _feedback(right @ _transposed(right))
    # A column is a row here, so that its values are side by side in memory.
    rest, rounded = np.ascontiguousarray(_transposed(values)), np.empty_like(values)
    raws = []
    block = quantiser.info(kind).block
    for start in range(0, values.shape[2], block):
        stop = start + block
        columns = _round(_transposed(rest[:, start:stop]), kind, quantiser)
        if block_codes.supports(kind):
            columns = _round_block(columns.raw, rest, range(start, stop), upper, kind)
        else:
            # The error of the block is passed on to the later columns at once.
            difference = rest[:, start:stop] - _transposed(columns.values)
            error = np.linalg.solve(_transposed(upper[:, start:stop, start:stop]), difference)
            rest[:, stop:] -= _transposed(error.transpose(0, 2, 1) @ upper[:, start:stop, stop:])
        raws.append(columns.raw.reshape(*values.shape[:2], -1))
        rounded[:, :, start:stop] = columns.values
    return StoredFactors(raw=np.concatenate(raws, axis=2).reshape(len(values), -1), values=rounded)


def _round_block(raw: Bytes, rest: F64, columns: Sequence[int], upper: F64, kind: str) -> StoredFactors:
    """Round ``columns`` of ``rest`` [modules, rank, out] with the scales of the blocks ``raw``, column by column.

    The error of each column is passed on to all later columns of ``rest``. The values are [modules, out, columns].
    """
    modules, _, out = rest.shape
    blocks = raw.reshape(modules * out, -1)
    grid = block_codes.grid(blocks, kind)
    codes, values = np.empty((len(columns), modules * out)), np.empty((len(columns), modules * out))
    for j, column in enumerate(columns):
        codes[j] = grid.codes(rest[:, column].reshape(-1), 0)
        values[j] = grid.values(codes[j], 0)
        error = (rest[:, column] - values[j].reshape(modules, out)) / upper[:, column, column, None]
        _pass_on(rest, column, upper[:, column, column + 1 :], error)
    return StoredFactors(
        raw=block_codes.with_codes(blocks, codes.T, kind),
        values=values.T.reshape(modules, out, len(columns)),
    )


def _best_up(left: F64, right: F64, rounded: F64) -> F64:
    """Return the ``up`` for which ``up @ rounded`` is closest to ``left @ right``, by least squares."""
    damped = _damped(rounded @ _transposed(rounded), 1e-10)
    up = np.linalg.solve(damped, (rounded @ _transposed(right)) @ _transposed(left))
    return _transposed(np.asarray(up, np.float64))


def _errors(exact: _Basis, up: StoredFactors, down: StoredFactors) -> F64:
    """Return ‖exact.up @ exact.down - up @ down‖² of each module. The products are not formed.

    A B - C D = (A - C) B + C (B - D) avoids the difference of two large products, which would lose precision. The
    squared norm of this sum is made of the Gram matrices [rank, rank] of its factors.
    """
    left, right = exact.up - up.values, exact.down - down.values
    grams = (_transposed(left) @ left) * (exact.down @ _transposed(exact.down))
    grams += 2 * (_transposed(left) @ up.values) * (exact.down @ _transposed(right))
    grams += (_transposed(up.values) @ up.values) * (right @ _transposed(right))
    errors: F64 = np.maximum(0.0, grams.sum(axis=(1, 2)))
    return errors


def _transposed(matrices: F64) -> F64:
    """Return matrices [modules, rows, columns] as [modules, columns, rows], without a copy."""
    return matrices.transpose(0, 2, 1)
