"""Reduce the loss of quantising a LoRA at the same size, by storing other factors of the same ΔW.

``factor_pairs`` finds the factors. This module decides which modules of a file get others, and keeps several threads at
work while the file is written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from harness.converter.cast import cast
from harness.converter.factor_pairs import LoraPair, lora_pairs
from harness.converter.module_threads import module_threads
from harness.converter.modules import Layout, Module
from harness.converter.plan import PLAIN, TensorPlan
from harness.formats.tensor import Bytes, Tensor
from harness.quantising.finite import finite
from harness.quantising.quantiser import Quantiser
from sdcpp.errors import FileInvalid
from sdcpp.process import cores

F64 = NDArray[np.float64]
#: The rank is padded to a multiple of this number, the block size of the types that short rows can have.
WIDTH = 32
#: The elements of the factors of one batch, unless a single module has more. Its work then fits into the caches.
BATCH = 1 << 19


class Rebalancer:
    """Computes other factors for the LoRA modules of a file whose factors are matrices.

    ``plans`` has the plans of all tensors. ``computed`` yields functions for the bytes of the changed tensors. Pairs
    are computed shortly before they are written, and kept until both of their factors are written.

    ``wanted`` are the types in order of preference; with ``pad`` the rank is padded if a factor would otherwise not be
    quantised. ``plain`` are the tensors of the same file converted to the same types by the same quantiser, without
    other factors; these are not rounded again.
    """

    def __init__(
        self,
        adapter: Layout,
        plans: Sequence[TensorPlan],
        quantiser: Quantiser,
        wanted: Sequence[str],
        *,
        pad: bool,
        plain: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._quantiser, self._plain = quantiser, plain or {}
        self._modules: dict[str, tuple[Module, str]] = {}
        self._by_name = {planned.tensor.name: planned for planned in plans}
        for module in adapter.modules.values():
            if module.kind == "lora" and self._can_change(module.parts["up"], module.parts["down"]):
                self._add(module, wanted, pad=pad)
        self.plans = list(self._by_name.values())

    def _can_change(self, up: Tensor, down: Tensor) -> bool:
        """Return whether both factors are matrices that fit together, of types that can be made from other values."""
        kinds = (self._by_name[factor.name].kind for factor in (up, down))
        return (
            len(up.shape) == len(down.shape) == 2
            and up.shape[1] == down.shape[0]
            and all(kind in PLAIN or kind in self._quantiser.types() for kind in kinds)
        )

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

    @contextmanager
    def computed(self) -> Iterator[Mapping[str, Callable[[], Bytes]]]:
        """Yield a function for each changed tensor, by name, that returns its bytes.

        Each function is called once, in the order of ``plans``. The work ends with the ``with`` block. The functions
        raise FileInvalid if a factor has NaN or infinity.
        """
        modules = {module.key: module for module, part in self._modules.values() if part != "alpha"}
        requests = [self._request(module) for module in modules.values()]
        with module_threads() as executor:
            pairs = _Pairs(requests, self._quantiser, executor)
            yield {
                name: partial(self._alpha, module)
                if part == "alpha"
                else partial(pairs.take, module.key, part)
                for name, (module, part) in self._modules.items()
            }

    def _alpha(self, module: Module) -> Bytes:
        """Return the alpha of a module with a padded rank."""
        width = self._by_name[module.parts["down"].name].shape[0]
        return cast(module.parts["alpha"].values() * (width / module.parts["down"].shape[0]), "F32")

    def _request(self, module: Module) -> _Request:
        up, down = module.parts["up"], module.parts["down"]
        return _Request(
            key=module.key,
            up=up,
            down=down,
            kinds=(self._by_name[up.name].kind, self._by_name[down.name].kind),
            width=self._by_name[down.name].shape[0],
            plain=self._rounded(up, down),
        )

    def _rounded(self, up: Tensor, down: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return the factors as they were rounded before, if they were rounded to the types and shapes of the plans."""
        found = [self._plain.get(factor.name) for factor in (up, down)]
        first, second = found
        if first is None or second is None:
            return None
        planned = [self._by_name[factor.name] for factor in (up, down)]
        alike = [(each.kind, tuple(each.shape)) for each in planned]
        return (first, second) if alike == [(each.kind, each.shape) for each in (first, second)] else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """The factors of a module, the types that they get, the rank that they get, and the factors rounded as they are."""

    key: str
    up: Tensor
    down: Tensor
    kinds: tuple[str, str]
    width: int
    plain: tuple[Tensor, Tensor] | None

    @property
    def like(self) -> tuple[object, ...]:
        """What the requests of one batch have in common."""
        return self.up.shape, self.down.shape, self.kinds, self.width, self.plain is None


class _Pairs:
    """The pairs of requests, computed by the threads of an executor in batches, in the order of the requests."""

    def __init__(
        self, requests: Sequence[_Request], quantiser: Quantiser, executor: ThreadPoolExecutor
    ) -> None:
        self._quantiser, self._executor = quantiser, executor
        self._batches = list(_batches(requests))
        self._number = {each.key: number for number, batch in enumerate(self._batches) for each in batch}
        self._started: dict[int, Future[list[LoraPair]]] = {}
        self._factors: dict[tuple[str, str], Bytes] = {}
        self._next = 0

    def take(self, key: str, part: str) -> Bytes:
        """Return the bytes of a factor, "up" or "down", of a module."""
        if (key, part) not in self._factors:
            self._compute(self._number[key])
        return self._factors.pop((key, part))

    def _compute(self, number: int) -> None:
        """Wait for the pairs of a batch, and start the batches that come after it."""
        while self._next < len(self._batches) and self._next <= number + cores():
            self._started[self._next] = self._executor.submit(self._work, self._batches[self._next])
            self._next += 1
        pairs = self._started.pop(number).result()
        for each, pair in zip(self._batches[number], pairs, strict=True):
            self._factors |= {(each.key, "up"): pair.up, (each.key, "down"): pair.down}

    def _work(self, batch: Sequence[_Request]) -> list[LoraPair]:
        """Return the best factors of each module of a batch."""
        up, down = (
            np.stack([_values(factor) for factor in factors])
            for factors in ([each.up for each in batch], [each.down for each in batch])
        )
        plain = [each.plain for each in batch if each.plain]
        known = None
        if plain:
            first, second = (
                np.stack([factor.raw() for factor in factors]) for factors in zip(*plain, strict=True)
            )
            known = first, second
        return lora_pairs(up, down, batch[0].kinds, self._quantiser, batch[0].width, known=known)


def _batches(requests: Sequence[_Request]) -> Iterator[list[_Request]]:
    """Yield requests in batches, ordered by their first request. The factors of a batch have at most BATCH elements."""
    by_likeness: dict[tuple[object, ...], list[_Request]] = {}
    for each in requests:
        by_likeness.setdefault(each.like, []).append(each)
    order = {each.key: number for number, each in enumerate(requests)}
    batches = []
    for alike in by_likeness.values():
        count = max(1, BATCH // max(1, alike[0].up.size + alike[0].down.size))
        batches += [alike[start : start + count] for start in range(0, len(alike), count)]
    yield from sorted(batches, key=lambda batch: order[batch[0].key])


def _values(factor: Tensor) -> F64:
    """Return the values of a factor in float64. Raises FileInvalid if one is NaN or infinite."""
    values = factor.values()
    if not finite(values):
        raise FileInvalid(
            f"tensor {factor.name}: NaN or infinity has no other factors",
            factor.path,
            "leave out --rebalance",
        )
    return values.astype(np.float64)
