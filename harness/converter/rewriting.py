"""The tensors of a rewritten adapter: copied under other names, or made from the changes of its modules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.converter import layer_change, weight_change
from harness.converter.cast import cast
from harness.converter.convert import metadata_for, write
from harness.converter.declared_scale import DIFFUSERS
from harness.converter.modules import Module
from harness.converter.plan import TensorPlan, plan
from harness.converter.ranks import NewRank, joint_error
from harness.converter.scratch_file import ScratchFile
from harness.converter.storage import WIDE, Storage
from harness.converter.weight_change import Kronecker, LowRank, Product, WeightChange
from harness.formats.tensor import Bytes, File, Tensor, decoded
from harness.formats.write import container_of
from harness.quantising.finite import finite
from harness.text import listed, plural
from sdcpp.errors import AdapterUnknown
from sdcpp.waiting_line import Progress, unseen

F64 = NDArray[np.float64]
#: The kinds whose second factor can be multiplied by the scale.
PLAIN = ("lora", "tucker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A module that cannot be rewritten: its key, and the reason."""

    key: str
    reason: str


@dataclass(slots=True, kw_only=True)
class Rewriting:
    """The tensors of a new file, what was done to get them, and what cannot be had.

    ``scalar`` is the shape of the tensors of alpha. ``done`` has the number of modules for each sort of work.
    ``promise`` says which revisions apply the file, if it was made for them. ``inputs`` are the other files that are
    read, which must not be replaced. ``shortened`` are the modules that are approximated.
    """

    file: File
    scalar: tuple[int, ...] = ()
    plans: list[TensorPlan] = field(default_factory=list)
    computed: dict[str, Callable[[], Bytes]] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)
    promise: str = ""
    inputs: Sequence[Path] = ()
    shortened: list[NewRank] = field(default_factory=list)

    def count(self, what: str, number: int = 1) -> None:
        """Count modules for which ``what`` was done."""
        self.done[what] = self.done.get(what, 0) + number

    def refuse(self, modules: Sequence[Module], reason: str) -> None:
        """Record that modules cannot be rewritten."""
        self.refused += [Refusal(key=module.key, reason=reason) for module in modules]

    def drop_after(self, count: int) -> None:
        """Remove all tensors but the first ``count``."""
        for planned in self.plans[count:]:
            self.computed.pop(planned.tensor.name, None)
        del self.plans[count:]

    def require_complete(self, what: str) -> None:
        """Raise AdapterUnknown if modules were refused. The message has each reason with the first module."""
        if self.refused:
            raise AdapterUnknown(
                f"{plural(len(self.refused), 'module')} cannot be written {what}; {'; '.join(self.reasons)}",
                self.file.path,
                "--force leaves them out",
            )

    @property
    def left_out(self) -> list[str]:
        """A line for each reason for which modules are not in the new file."""
        return [f"left out: {text}" for text in self.reasons]

    @property
    def reasons(self) -> list[str]:
        """Each reason for which modules were refused, with the modules."""
        keys: dict[str, list[str]] = {}
        for each in self.refused:
            keys.setdefault(each.reason, []).append(each.key)
        return [f"{listed(of_reason, 2)}: {reason}" for reason, of_reason in keys.items()]

    @property
    def summary(self) -> str:
        """What was done with how many modules, and the error of those that are approximated."""
        said = ", ".join(f"{plural(number, 'module')} {what}" for what, number in self.done.items())
        error = joint_error(self.shortened)
        return f"{said}; relative error of the ΔW with a new rank {error:.3%}" if self.shortened else said

    def store(self, name: str, tensor: Tensor, shape: tuple[int, ...] | None = None) -> None:
        """Add a tensor of the file with its bytes, under another name and, if given, with another shape."""
        moved = replace(tensor, name=name, shape=tensor.shape if shape is None else shape)
        self.plans.append(TensorPlan(tensor=moved, kind=moved.kind, why="as stored"))

    def make(self, name: str, shape: tuple[int, ...], values: Callable[[], F64], kind: str = "F32") -> None:
        """Add a tensor whose values a function returns when the file is written."""
        tensor = Tensor(name=name, shape=shape, kind=kind, path=self.file.path, offset=0)
        self.plans.append(TensorPlan(tensor=tensor, kind=kind, why="computed"))
        self.computed[name] = partial(_bytes, values, kind)

    def keep(self, first: int, scratch: ScratchFile) -> None:
        """Compute the tensors from number ``first`` on, and keep their bytes in a file.

        Raises AdapterUnknown if a value is NaN or infinite, and OutputRefused.
        """
        for planned in self.plans[first:]:
            name = planned.tensor.name
            if name not in self.computed:
                continue
            data = self.computed[name]()
            if not finite(decoded(data, planned.kind)):
                raise AdapterUnknown(
                    "a value is NaN, infinite or beyond the range of its type",
                    name,
                    "sdcpp lora inspect lists NaN and infinity in a file",
                )
            self.computed[name] = scratch.keep(data)

    def make_alpha(self, name: str, value: float) -> None:
        """Add a tensor of alpha."""
        self.make(name, self.scalar, partial(np.array, [float(value)]))

    def make_bias(self, name: str, module: Module, multiplier: float = 1.0) -> None:
        """Add the change of the bias that a module makes, multiplied by ``multiplier``."""
        change = weight_change.multiplied(layer_change.changes(module)["bias"], multiplier)
        self.make(name, change.shape[:1], partial(weight_change.rows, change, 0, change.shape[0]))

    def make_change(
        self,
        key: str,
        suffixes: Mapping[str, str],
        change: Callable[[], WeightChange],
        *,
        smallest_rank: int = 1,
        stored: Storage = WIDE,
        folded: bool = False,
    ) -> None:
        """Add the tensors of a change under the key of a module. The function returns it whenever it is needed.

        Factors have a rank of at least ``smallest_rank``; they are filled with zeros. ``stored`` is for a plain pair;
        all others have F32 and a scale of 1. With ``folded`` a plain pair has no alpha.
        """
        now = change()
        if isinstance(now, LowRank):
            rank = max(smallest_rank, now.left.shape[1])
            ones = (1,) * (len(now.shape) - 2)
            down, up = (key + suffixes[part] for part in ("down", "up"))
            right = partial(_factor, change, 0, rank, "right")
            left = partial(_factor, change, 0, rank, "left", stored.scale)
            self.make(down, (rank, *now.shape[1:]), right, stored.kind)
            self.make(up, (now.shape[0], rank, *ones), left, stored.kind)
            if not folded:
                self.make_alpha(key + suffixes["alpha"], stored.scale * rank)
        elif isinstance(now, Product):
            rank = max(smallest_rank, now.a.left.shape[1], now.b.left.shape[1])
            for index in (0, 1):
                a, b = (key + suffixes[f"hada_w{index + 1}_{side}"] for side in "ab")
                self.make(a, (now.shape[0], rank), partial(_factor, change, index, rank, "left"))
                right = partial(_factor, change, index, rank, "right")
                self.make(b, (rank, math.prod(now.shape[1:])), right)
            self.make_alpha(key + suffixes["alpha"], rank)
        elif isinstance(now, Kronecker):
            self.make(key + suffixes["lokr_w1"], now.first.shape, partial(_matrix, change, 1))
            self.make(key + suffixes["lokr_w2"], now.second.shape, partial(_matrix, change, 2))
        else:
            self.make(key + suffixes["diff"], now.shape, partial(_dense, change))

    def write(self, target: Path, *, force: bool = False, progress: Progress = unseen) -> None:
        """Write the file; ``force`` allows NaN and infinity. Raises FileInvalid and OutputRefused.

        Metadata that declare a scale are left out, because every module has a tensor for it, or a scale of 1. Copied
        tensors of a type that the container lacks get one that has the same values.
        """
        metadata = {key: value for key, value in self.file.metadata.items() if key != DIFFUSERS}
        container = container_of(target)
        plans = [
            each if each.tensor.name in self.computed else plan([each.tensor], container)[0]
            for each in self.plans
        ]
        write(
            target,
            container,
            plans,
            metadata_for(replace(self.file, metadata=metadata), container, plans),
            None,
            inputs=[self.file.path, *self.inputs],
            only_finite=not force,
            computed=self.computed,
            progress=progress,
        )


def _bytes(values: Callable[[], F64], kind: str) -> Bytes:
    return cast(values(), kind)


def _factor(change: Callable[[], WeightChange], index: int, rank: int, side: str, scale: float = 1.0) -> F64:
    """Return a factor of a change, or of the factors number ``index`` of a product, filled with zeros to a rank.

    The first one is divided by ``scale``.
    """
    found = change()
    if isinstance(found, Product):
        found = (found.a, found.b)[index]
    assert isinstance(found, LowRank)  # noqa: S101 - the caller has looked
    missing = rank - found.left.shape[1]
    if side == "left":
        return np.pad(found.left / scale, ((0, 0), (0, missing)))
    return np.pad(found.right, ((0, missing), (0, 0)))


def _matrix(change: Callable[[], WeightChange], number: int) -> F64:
    """Return the first or the second matrix of a Kronecker product."""
    found = change()
    assert isinstance(found, Kronecker)  # noqa: S101 - the caller has looked
    return found.first if number == 1 else found.second


def _dense(change: Callable[[], WeightChange]) -> F64:
    found = change()
    return weight_change.rows(found, 0, found.shape[0])
