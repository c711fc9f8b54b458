"""Choose the smallest type for each tensor so that the loss stays below a bound.

Rounding errors of different tensors are independent, so the squared errors that they cause in ΔW add up, to first
order. The error of each tensor is measured alone for each type. All tensors start with their smallest type. Then the
type is raised, step by step, where an additional byte reduces the error most, until the sum of the errors is below the
bound.
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

from harness.converter import layer_state
from harness.converter.cast import cast, overflows
from harness.converter.compare import compare
from harness.converter.convert import Conversion, convert
from harness.converter.layer_state import LayerState
from harness.converter.modules import Module, layout_of
from harness.converter.plan import PLAIN, require_types
from harness.formats.read import read_tensors
from harness.formats.tensor import Tensor, decoded
from harness.quantising.quantiser import Quantiser
from sdcpp.atomic_write import atomic_write
from sdcpp.errors import LossUnreachable
from sdcpp.waiting_line import Progress, part, unseen

#: The types to choose from by default: those that are quantised at more than 20 MB/s.
USUAL = ("Q2_K", "Q3_K", "Q4_0", "Q4_1", "Q4_K", "Q5_0", "Q5_1", "Q5_K", "Q6_K", "Q8_0")
#: How many times the file is written and measured, each time with a corrected bound.
TRIES = 5
#: With rebalancing, the search ends when the measured loss is at least this share of the bound.
NEAR = 0.93
#: The share of the work, about, that it is to measure the error of each tensor for each type.
_MEASURING = 0.6


@dataclass(frozen=True, slots=True)
class ReplacedValues(Tensor):
    """A tensor whose values are replaced by other values."""

    replacement: NDArray[np.floating] | None = None

    def values(self) -> NDArray[np.floating]:
        """Return the replaced values."""
        assert self.replacement is not None  # noqa: S101 - the field has a default for the base class only
        return self.replacement


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A type for a tensor: the size in bytes, and the squared error that it causes in ΔW."""

    kind: str
    bytes: int
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The chosen conversion, with the predicted and the measured relative error of ΔW."""

    conversion: Conversion
    predicted: float
    measured: float


def convert_within_loss(
    source: Path,
    target: Path,
    bound: float,
    quantiser: Quantiser,
    names: Sequence[str] = (),
    *,
    rebalance: bool = False,
    progress: Progress = unseen,
) -> Choice:
    """Write the smallest ``target`` whose relative error of ΔW, as measured, is at most ``bound``.

    ``names`` are the types to choose from (see ``error_options``). ``progress`` is called with a share of the work
    and 1. Raises LossUnreachable, and writes no file, if even
    the largest types lose more, and the errors of ``convert``.
    """
    options, total = error_options(source, quantiser, names, part(progress, 0, _MEASURING))
    aim, best = bound, None
    with atomic_write(target, [source]) as partial:
        trial = partial.with_name(partial.name + target.suffix)
        try:
            for number in range(TRIES):
                first = _MEASURING + (1 - _MEASURING) * number / TRIES
                middle = first + (1 - _MEASURING) / TRIES / 2
                chosen, predicted = choose(options, total, aim)
                done = convert(
                    source,
                    trial,
                    [],
                    quantiser,
                    chosen,
                    rebalance=rebalance,
                    progress=part(progress, first, middle),
                )
                measured = compare(source, trial, part(progress, middle, 2 * middle - first)).relative
                if measured <= bound and (best is None or done.after < best.conversion.after):
                    trial.replace(partial)
                    done = dataclasses.replace(done, target=target)
                    best = Choice(conversion=done, predicted=predicted, measured=measured)
                # Rebalanced factors lose less than predicted, so smaller types may be possible.
                if measured <= bound and (not rebalance or measured > NEAR * bound):
                    break
                aim *= 0.98 * bound / measured
        finally:
            trial.unlink(missing_ok=True)
        if best is None:
            raise LossUnreachable(
                f"the loss stays above {bound:.2%}", source, "allow a larger loss, or name more types"
            )
    return best


def error_options(
    source: Path, quantiser: Quantiser, names: Sequence[str] = (), progress: Progress = unseen
) -> tuple[dict[str, list[Option]], float]:
    """Return the options of each tensor that can be quantised, by name, and the norm of all ΔW together.

    ``names`` are the types to choose from. By default they are the types of ``USUAL`` that ``quantiser`` can make.
    ``progress`` is called with the number of modules done and their total.

    Raises TypeUnavailable for a name that is unknown or that ``quantiser`` cannot make.
    """
    types = quantiser.types()
    require_types(names, types)
    names = names or [name for name in USUAL if name in types]
    options: dict[str, list[Option]] = {}
    norm = 0.0
    modules = layout_of(read_tensors(source)).modules.values()
    for done, module in enumerate(modules, start=1):
        state = layer_state.state(module)
        norm += layer_state.norm(state) ** 2
        for name, tensor in module.parts.items():
            if len(tensor.shape) > 1 and tensor.size > 1 and name != "dora":
                options[tensor.name] = _options(module, name, state, quantiser, names)
        progress(done, len(modules))
    return options, math.sqrt(norm)


def _options(
    module: Module, part: str, state: LayerState, quantiser: Quantiser, names: Sequence[str]
) -> list[Option]:
    """Return the options of the tensor ``part`` of a module with the values ``state``."""
    tensor = module.parts[part]
    values = tensor.values()
    options = []
    widest = "F32" if overflows(tensor) else "F16"
    for name in dict.fromkeys((*names, widest, tensor.kind)):
        if name in PLAIN:
            if name == "F16" and widest != "F16":
                continue
            raw = cast(values, name)
            size, rounded = raw.nbytes, decoded(raw, name)
        else:
            info = quantiser.info(name) if name in quantiser.types() else None
            if info is None or tensor.row % info.block:
                continue
            blocks, stored = quantiser.nearest_with_values(values.reshape(-1, tensor.row), name)
            size, rounded = blocks.nbytes, stored.reshape(-1)
        fields = {f.name: getattr(tensor, f.name) for f in dataclasses.fields(tensor)}
        replaced = ReplacedValues(**fields, replacement=rounded.reshape(tensor.shape))
        other = dataclasses.replace(module, parts={**module.parts, part: replaced})
        options.append(
            Option(
                kind=name,
                bytes=size,
                error=layer_state.distance(state, layer_state.state(other)) ** 2,
            )
        )
    return pareto_front(options)


def pareto_front(options: Sequence[Option]) -> list[Option]:
    """Return the options on the convex Pareto front, smallest first.

    From one option to the next the error decreases, and each additional byte reduces it less than before.
    """
    front: list[Option] = []
    for option in sorted(options, key=lambda o: (o.bytes, o.error)):
        if front and option.error >= front[-1].error:
            continue
        while len(front) > 1 and _gain(front[-2], front[-1]) <= _gain(front[-1], option):
            front.pop()
        front.append(option)
    return front


def _gain(a: Option, b: Option) -> float:
    """Return how much the squared error decreases for each additional byte from ``a`` to ``b``."""
    return (a.error - b.error) / max(1, b.bytes - a.bytes)


def choose(options: dict[str, list[Option]], norm: float, bound: float) -> tuple[dict[str, str], float]:
    """Return a type for each tensor, by name, and the predicted relative error of ΔW.

    ``norm`` is the norm of all ΔW together, and ``bound`` the largest relative error. Raises LossUnreachable.
    """
    index = dict.fromkeys(options, 0)
    error = sum(front[0].error for front in options.values())
    heap = [(-_gain(front[0], front[1]), name) for name, front in options.items() if len(front) > 1]
    heapq.heapify(heap)
    while error > (bound * norm) ** 2:
        if not heap:
            raise LossUnreachable(
                f"no types keep the loss below {bound:.3%}", f"{len(options)} tensors", "allow a larger loss"
            )
        _, name = heapq.heappop(heap)
        front, at = options[name], index[name]
        error += front[at + 1].error - front[at].error
        index[name] = at + 1
        if at + 2 < len(front):
            heapq.heappush(heap, (-_gain(front[at + 1], front[at + 2]), name))
    chosen = {name: front[index[name]].kind for name, front in options.items()}
    return chosen, math.sqrt(max(0.0, error)) / norm if norm else 0.0
