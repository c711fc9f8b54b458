"""A file's plan with ``rebalance`` put to use: which pairs of factors are stored in another form, and their bytes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from harness.converter.cast import cast
from harness.converter.modules import Layout, Module
from harness.converter.plan import PLAIN, TensorPlan
from harness.converter.rebalance import METHODS, LoraPair, rebalance_pair
from harness.formats.tensor import Bytes, Tensor
from harness.quantising.quantiser import Quantiser

#: The rank is padded to a multiple of this, the block of the types that short rows can have.
WIDTH = 32


class Rebalancer:
    """The fates of a file's tensors, and the bytes of those that belong to a low-rank pair of matrices.

    A pair is made when the first of its tensors is written and kept until the other one is.
    """

    def __init__(
        self,
        found: Layout,
        fates: Sequence[TensorPlan],
        maker: Quantiser,
        wanted: Sequence[str],
        *,
        pad: bool,
    ) -> None:
        self._maker = maker
        self._modules: dict[str, tuple[Module, str]] = {}
        self._pairs: dict[str, LoraPair] = {}
        self._by_name = {fate.tensor.name: fate for fate in fates}
        #: Which method was best, by module.
        self.methods: dict[str, str] = {}
        for module in found.modules.values():
            if module.kind == "lora" and all(self._can_make(module.parts[p]) for p in ("up", "down")):
                self._take(module, wanted, pad=pad)
        self.fates = list(self._by_name.values())

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
        made = rebalance_pair(up, down, (kinds[0], kinds[1]), self._maker, methods=METHODS, width=width)
        self.methods[module.key] = made.method
        return made
