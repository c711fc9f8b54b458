"""Less loss at the same bits: other factors of the same ΔW, and rounding that makes up for rounding.

ΔW = up @ down = (up @ G) @ (G^-1 @ down) for every invertible G. Two things decide what quantising costs. The
values within a block should be alike, since they share a scale: an orthogonal basis of the singular vectors, each
factor given the square root of the singular values, then mixed by a random rotation, makes every row and every
column carry the same. And an error in one row of ``down`` can be made up for by the rows not yet rounded, because
``up`` mixes them: rounding in turn, with what is left over passed on (as GPTQ does between the columns of a weight,
https://arxiv.org/abs/2210.17323), turns the arithmetic mean of the squared singular values into their geometric
mean. The same holds for the columns of ``up``. What is written are ordinary blocks that every reader decodes.
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
#: Part of the mean diagonal that is added before a Gram matrix is inverted.
DAMPING = 1e-6
SEED = 20_240
METHODS = ("plain", "svd", "rotated", "fed-back")
#: The rank is padded to a multiple of this, the block of the types that short rows can have.
WIDTH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraPair:
    """Stored factors of one ΔW: their bytes, and the squared error ‖up @ down - ΔW‖² that they have."""

    up: Bytes
    down: Bytes
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One factor as it will be read: its bytes and values [rows, row]."""

    raw: Bytes
    values: F64


class Rebalancer:
    """The plans of a file's tensors, and the bytes of those that belong to a low-rank pair of matrices.

    A pair is made when the first of its tensors is written and kept until the other one is.
    """

    def __init__(
        self,
        found: Layout,
        plans: Sequence[TensorPlan],
        maker: Quantiser,
        wanted: Sequence[str],
        *,
        pad: bool,
    ) -> None:
        self._maker = maker
        self._modules: dict[str, tuple[Module, str]] = {}
        self._pairs: dict[str, LoraPair] = {}
        self._by_name = {planned.tensor.name: planned for planned in plans}
        for module in found.modules.values():
            if module.kind == "lora" and all(self._can_make(module.parts[p]) for p in ("up", "down")):
                self._take(module, wanted, pad=pad)
        self.plans = list(self._by_name.values())

    def _can_make(self, factor: Tensor) -> bool:
        """Return whether a factor is a matrix whose planned type can be made from other values."""
        kind = self._by_name[factor.name].kind
        return len(factor.shape) == 2 and (kind in PLAIN or kind in self._maker.types())

    def _take(self, module: Module, wanted: Sequence[str], *, pad: bool) -> None:
        up, down = module.parts["up"], module.parts["down"]
        rank = down.shape[0]
        width = rank + -rank % WIDTH
        if pad and width != rank and not self._by_name[up.name].info:
            info = next(
                (i for i in (self._maker.info(n) for n in wanted if n not in PLAIN) if width % i.block == 0),
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
                        tensor=alpha, kind="F32", why="alpha / rank stays as the rank grows"
                    )
                    self._modules[alpha.name] = module, "alpha"
        if self._by_name[up.name].info or self._by_name[down.name].info:
            self._modules[up.name], self._modules[down.name] = (module, "up"), (module, "down")

    def made(self) -> dict[str, Callable[[], Bytes]]:
        """Return what makes the bytes of each tensor of a pair, by name."""
        return {name: partial(self._stored, name) for name in self._modules}

    def _stored(self, name: str) -> Bytes:
        module, part = self._modules[name]
        width = self._by_name[module.parts["down"].name].shape[0]
        if part == "alpha":
            grown = module.parts["alpha"].values() * (width / module.parts["down"].shape[0])
            return cast(grown, "F32")
        if module.key in self._pairs:
            made = self._pairs.pop(module.key)
        else:
            made = self._pairs[module.key] = self._made(module, width)
        return made.up if part == "up" else made.down

    def _made(self, module: Module, width: int) -> LoraPair:
        up, down = (module.parts[p].values().astype(np.float64) for p in ("up", "down"))
        kinds = tuple(self._by_name[module.parts[p].name].kind for p in ("up", "down"))
        return rebalance_pair(up, down, (kinds[0], kinds[1]), self._maker, width)


def rebalance_pair(up: F64, down: F64, kinds: tuple[str, str], maker: Quantiser, width: int = 0) -> LoraPair:
    """Return the best of METHODS for factors [out, rank] and [rank, inner], stored as ``kinds`` of (up, down).

    ``width`` pads the rank. No pair is worse than the plain one, unless the rank is padded.
    """
    rank = up.shape[1]
    width = max(width, rank)
    exact_up = np.pad(up, ((0, 0), (0, width - rank)))
    exact_down = np.pad(down, ((0, width - rank), (0, 0)))
    found = []
    for method in METHODS:
        if method == "plain":
            left, right = exact_up, exact_down
        else:
            left, right = _spectral(up, down, kinds, width, rotate=method != "svd")
        if method == "fed-back":
            second = _rows(right, left, kinds[1], maker)
            first = _columns(_refit(left, right, second.values), second.values, kinds[0], maker)
        else:
            first, second = _plain(left, kinds[0], maker), _plain(right, kinds[1], maker)
        error = _error(exact_up, exact_down, first.values, second.values)
        found.append(LoraPair(up=first.raw, down=second.raw, error=error))
    return min(found, key=lambda pair: pair.error)


def _plain(values: F64, kind: str, maker: Quantiser) -> Stored:
    if kind in PLAIN:
        raw = cast(values, kind)
        return Stored(raw=raw, values=decoded(raw, kind).reshape(values.shape).astype(np.float64))
    raw = maker.nearest(values, kind)
    return Stored(raw=raw, values=maker.dequantise(raw, kind).astype(np.float64))


def _spectral(up: F64, down: F64, kinds: tuple[str, str], width: int, *, rotate: bool) -> tuple[F64, F64]:
    """Return factors in the basis of the singular vectors, of ``width`` columns and rows.

    The singular values go to the float factor if one is float, else half to each.
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
    turn = rotation(width)
    return new_up @ turn, turn.T @ new_down


def rotation(width: int) -> F64:
    """Return a rotation that mixes all coordinates: Hadamard's with random signs, else a random one."""
    draw = np.random.default_rng(SEED)
    if width & (width - 1) == 0:
        turn = np.ones((1, 1))
        while turn.shape[0] < width:
            turn = np.block([[turn, turn], [turn, -turn]])
        signed: F64 = draw.choice([-1.0, 1.0], width)[:, None] * turn / np.sqrt(width)
        return signed
    found, triangle = np.linalg.qr(draw.standard_normal((width, width)))
    result: F64 = found * np.sign(np.diag(triangle))
    return result


def _feedback(gram: F64) -> F64:
    """Return U of (gram + damping)^-1 = Uᵀ U, upper triangular: row i tells where the error of i goes."""
    size = len(gram)
    damped = gram + np.eye(size) * max(DAMPING * float(np.trace(gram)) / size, 1e-30)
    upper: F64 = np.linalg.cholesky(np.linalg.inv(damped)).T
    return upper


def _rows(values: F64, left: F64, kind: str, maker: Quantiser) -> Stored:
    """Return ``values`` [rank, inner] rounded row by row so that ``left @ values`` changes little."""
    if kind in PLAIN:
        return _plain(values, kind, maker)
    upper = _feedback(left.T @ left)
    rest, raws, found = values.copy(), [], np.empty_like(values)
    for i in range(len(values)):
        stored = _plain(rest[i : i + 1], kind, maker)
        raws.append(stored.raw)
        found[i] = stored.values[0]
        rest[i + 1 :] -= np.outer(upper[i, i + 1 :] / upper[i, i], rest[i] - found[i])
    return Stored(raw=np.concatenate(raws), values=found)


def _columns(values: F64, right: F64, kind: str, maker: Quantiser) -> Stored:
    """Return ``values`` [out, rank] rounded column by column so that ``values @ right`` changes little.

    A block holds many columns, so its scale comes from ggml and the codes are chosen here, one column at a time.
    Types whose blocks cannot be taken apart are rounded block by block.
    """
    if kind in PLAIN:
        return _plain(values, kind, maker)
    upper = _feedback(right @ right.T)
    rest, found = values.copy(), np.empty_like(values)
    block = maker.info(kind).block
    raws = []
    for start in range(0, values.shape[1], block):
        stop = start + block
        stored = _plain(rest[:, start:stop], kind, maker)
        if block_codes.known(kind):
            stored = _coded(stored.raw, rest, range(start, stop), upper, kind)
        else:
            # What the block as a whole got wrong, by the columns behind it: upper[in] then upper[in, behind].
            wrong: F64 = np.asarray(rest[:, start:stop] - stored.values)
            error = np.linalg.solve(upper[start:stop, start:stop].T, wrong.T)
            rest[:, stop:] -= error.T @ upper[start:stop, stop:]
        raws.append(stored.raw)
        found[:, start:stop] = stored.values
    return Stored(raw=np.concatenate(raws, axis=1), values=found)


def _coded(raw: Bytes, rest: F64, columns: range, upper: F64, kind: str) -> Stored:
    """Choose one block's codes column by column, passing each error on to all later columns of ``rest``."""
    grid = block_codes.grid(raw, kind)
    codes, values = np.empty((len(rest), len(columns))), np.empty((len(rest), len(columns)))
    for j, column in enumerate(columns):
        codes[:, j] = grid.codes(rest[:, column], 0)
        values[:, j] = grid.decoded(codes[:, j], 0)
        error = (rest[:, column] - values[:, j]) / upper[column, column]
        rest[:, column + 1 :] -= np.outer(error, upper[column, column + 1 :])
    return Stored(raw=block_codes.packed(raw, codes, kind), values=values)


def _refit(left: F64, right: F64, rounded: F64) -> F64:
    """Return the ``up`` that makes the best of a rounded ``down``: least squares."""
    gram = rounded @ rounded.T
    size = len(gram)
    damped: NDArray[np.floating] = gram + np.eye(size) * max(1e-10 * float(np.trace(gram)) / size, 1e-30)
    found: F64 = np.linalg.solve(damped, (rounded @ right.T) @ left.T).T
    return found


def _error(up: F64, down: F64, new_up: F64, new_down: F64) -> float:
    """Return ‖up @ down - new_up @ new_down‖², from the Gram matrices of the factors put side by side."""
    left, right = np.hstack([up, -new_up]), np.vstack([down, new_down])
    # QR first: the small difference is not taken from large squares.
    (_, first), (_, second) = np.linalg.qr(left), np.linalg.qr(right.T)
    return float(np.linalg.norm(first @ second.T) ** 2)
