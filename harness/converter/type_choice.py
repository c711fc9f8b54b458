"""The smallest types that keep a bound on the loss, tensor by tensor.

The squared errors that the tensors of a file cause in ΔW add up, to first order: rounding errors of different
tensors are independent. So each tensor's own error is measured for each type, alone, and the types are raised step
by step where a byte buys most, until the sum keeps the bound.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.converter import weight_change
from harness.converter.cast import cast, overflows
from harness.converter.compare import compare
from harness.converter.convert import Conversion, convert
from harness.converter.modules import Module, layout
from harness.converter.plan import PLAIN, require_types
from harness.formats.read import read_tensors
from harness.formats.tensor import Tensor, decoded
from harness.quantising.quantiser import Quantiser
from sdcpp.atomic_write import atomic_write
from sdcpp.errors import LossUnreachable

#: The types to choose from unless the user names others: all that are made at more than 20 MB/s.
USUAL = ("Q2_K", "Q3_K", "Q4_0", "Q4_1", "Q4_K", "Q5_0", "Q5_1", "Q5_K", "Q6_K", "Q8_0")
#: How often the bound is tightened after the file was measured.
TRIES = 5
#: The share of the bound from which on a rebalanced file is near enough.
NEAR = 0.93


@dataclass(frozen=True, slots=True)
class ReplacedValues(Tensor):
    """A tensor whose values are other ones than those in the file."""

    held: NDArray[np.floating] | None = None

    def values(self) -> NDArray[np.floating]:
        """Return the values."""
        assert self.held is not None  # noqa: S101 - it was made with them
        return self.held


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A type for a tensor: the bytes it takes and the squared error that it causes in ΔW."""

    kind: str
    bytes: int
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The chosen conversion: what was predicted of it and what was measured, as relative errors of ΔW."""

    conversion: Conversion
    predicted: float
    measured: float


def convert_within_loss(
    source: Path,
    target: Path,
    bound: float,
    maker: Quantiser,
    names: Sequence[str] = (),
    *,
    rebalance: bool = False,
) -> Choice:
    """Write the smallest ``target`` whose ΔW differs by less than ``bound`` (relative) and measure that it does.

    Raises LossUnreachable, and leaves no file, if the floats themselves lose more, and what ``convert`` raises.
    """
    options, total = error_options(source, maker, names)
    aim, found = bound, None
    with atomic_write(target, [source]) as partial:
        trial = partial.with_name(partial.name + target.suffix)
        try:
            for _ in range(TRIES):
                chosen, predicted = choose(options, total, aim)
                done = convert(source, trial, [], maker, chosen, rebalance=rebalance)
                measured = compare(source, trial).relative
                if measured <= bound and (found is None or done.after < found.conversion.after):
                    trial.replace(partial)
                    done = dataclasses.replace(done, target=target)
                    found = Choice(conversion=done, predicted=predicted, measured=measured)
                # Other factors lose less than was predicted: there may be room for smaller types.
                if measured <= bound and (not rebalance or measured > NEAR * bound):
                    break
                aim *= 0.98 * bound / measured
        finally:
            trial.unlink(missing_ok=True)
        if found is None:
            raise LossUnreachable(
                f"the loss stays above {bound:.2%}", source, "allow more, or name more types"
            )
    return found


def error_options(
    source: Path, maker: Quantiser, names: Sequence[str] = ()
) -> tuple[dict[str, list[Option]], float]:
    """Return the options of each tensor that can be quantised, and the norm of all ΔW.

    Raises TypeUnavailable for a name that is unknown or that ``maker`` cannot make; without ``names`` it chooses among
    those of USUAL that ``maker`` can make.
    """
    types = maker.types()
    require_types(names, types)
    names = names or [name for name in USUAL if name in types]
    options: dict[str, list[Option]] = {}
    norm = 0.0
    for module in layout(read_tensors(source).tensors.values()).modules.values():
        change = weight_change.weight_change(module)
        norm += weight_change.norm(change) ** 2
        for part, tensor in module.parts.items():
            if len(tensor.shape) > 1 and tensor.size > 1 and part != "dora":
                options[tensor.name] = _options(module, part, change, maker, names)
    return options, math.sqrt(norm)


def _options(
    module: Module, part: str, change: weight_change.WeightChange, maker: Quantiser, names: Sequence[str]
) -> list[Option]:
    tensor = module.parts[part]
    values = tensor.values()
    found = []
    widest = "F32" if overflows(tensor) else "F16"
    for name in dict.fromkeys((*names, widest, tensor.kind)):
        if name in PLAIN:
            if name == "F16" and widest != "F16":
                continue
            raw = cast(values, name)
            size, rounded = raw.nbytes, decoded(raw, name)
        else:
            info = maker.info(name) if name in maker.types() else None
            if info is None or tensor.row % info.block:
                continue
            blocks = maker.nearest(values.reshape(-1, tensor.row), name)
            size, rounded = blocks.nbytes, maker.dequantise(blocks, name).reshape(-1)
        fields = {f.name: getattr(tensor, f.name) for f in dataclasses.fields(tensor)}
        held = ReplacedValues(**fields, held=rounded.reshape(tensor.shape))
        other = dataclasses.replace(module, parts={**module.parts, part: held})
        found.append(
            Option(
                kind=name,
                bytes=size,
                error=weight_change.distance(change, weight_change.weight_change(other)) ** 2,
            )
        )
    return pareto_front(found)


def pareto_front(options: Sequence[Option]) -> list[Option]:
    """Return the options worth having, smallest first: each further byte buys less than the one before."""
    kept: list[Option] = []
    for option in sorted(options, key=lambda o: (o.bytes, o.error)):
        if kept and option.error >= kept[-1].error:
            continue
        while len(kept) > 1 and _gain(kept[-2], kept[-1]) <= _gain(kept[-1], option):
            kept.pop()
        kept.append(option)
    return kept


def _gain(a: Option, b: Option) -> float:
    return (a.error - b.error) / max(1, b.bytes - a.bytes)


def choose(options: dict[str, list[Option]], norm: float, bound: float) -> tuple[dict[str, str], float]:
    """Return a type for each tensor and the predicted relative error. Raises LossUnreachable."""
    place = dict.fromkeys(options, 0)
    error = sum(found[0].error for found in options.values())
    heap = [(-_gain(found[0], found[1]), name) for name, found in options.items() if len(found) > 1]
    heapq.heapify(heap)
    while error > (bound * norm) ** 2:
        if not heap:
            raise LossUnreachable(
                f"no types keep the loss below {bound:.3%}", f"{len(options)} tensors", "allow more"
            )
        _, name = heapq.heappop(heap)
        found, at = options[name], place[name]
        error += found[at + 1].error - found[at].error
        place[name] = at + 1
        if at + 2 < len(found):
            heapq.heappush(heap, (-_gain(found[at + 1], found[at + 2]), name))
    chosen = {name: found[place[name]].kind for name, found in options.items()}
    return chosen, math.sqrt(max(0.0, error)) / norm if norm else 0.0
