"""One file of tensors written as another, piece by piece: no more is held than a few rows of one tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.converter import input_checks
from harness.converter.cast import cast
from harness.converter.modules import layout
from harness.converter.plan import PLAIN, TensorPlan, plan
from harness.converter.rebalance import Rebalancer
from harness.formats.read import read_tensors
from harness.formats.tensor import FLOATS, SIZES, Bytes, File, Metadata, MetadataValue, TensorRows
from harness.formats.write import DERIVED, Spec, container_of, write_container
from harness.quantising.finite import finite
from harness.quantising.package_quantiser import PackageQuantiser
from harness.quantising.quantiser import Quantiser, RowsNotFinite
from sdcpp.atomic_write import atomic_write
from sdcpp.errors import AdapterUnknown, FileInvalid

#: By tensor's name, what makes its bytes where that is not converting what is stored.
Made = Mapping[str, Callable[[], Bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What was written: the plan of each tensor, and the sizes of both files in bytes."""

    source: Path
    target: Path
    plans: Sequence[TensorPlan]
    before: int
    after: int

    @property
    def bits(self) -> float:
        """Effective bits for one weight: all tensors' bytes over all their elements."""
        size = sum(planned.tensor.size for planned in self.plans)
        return 8 * sum(planned.nbytes for planned in self.plans) / max(1, size)


def convert(
    source: Path,
    target: Path,
    wanted: Sequence[str] = (),
    maker: Quantiser | None = None,
    chosen: Mapping[str, str] | None = None,
    *,
    anyway: bool = False,
    rebalance: bool = False,
    pad: bool = False,
) -> Conversion:
    """Write ``source`` as ``target``, whose suffix names the container, in types of ``wanted`` (see ``plan``).

    Without ``wanted`` every tensor keeps its type, to the bit; blocks become exactly their values, as F32, in a
    container that has no blocks. ``maker`` is needed for quantised types only.
    ``rebalance`` stores other factors of the same ΔW where they lose less, ``pad`` pads their rank to whole blocks.
    ``anyway`` converts files that ``check`` finds fault with, as far as that goes.
    Raises AdapterUnknown, FileInvalid, UnsafePickle, TypeUnavailable, OutputRefused and LibraryUnusable;
    ``target`` is then as it was before.
    """
    container = container_of(target)
    needs = any(name not in PLAIN for name in (*wanted, *(chosen or {}).values()))
    if needs and maker is not None:
        maker.begin()
    file = read_tensors(source)
    if not anyway:
        check(file)
    types = maker.types() if maker is not None and needs else {}
    plans = plan(list(file.tensors.values()), container, wanted, types, chosen)
    made: Made = {}
    if rebalance and maker is not None and needs:
        rebalancer = Rebalancer(layout(file.tensors.values()), plans, maker, wanted, pad=pad)
        plans, made = rebalancer.plans, rebalancer.made()
    metadata = metadata_for(file, container, plans)
    write(target, container, plans, metadata, maker, inputs=[source], only_finite=not anyway, made=made)
    return Conversion(
        source=source, target=target, plans=plans, before=source.stat().st_size, after=target.stat().st_size
    )


def write(
    target: Path,
    container: str,
    plans: Sequence[TensorPlan],
    metadata: Metadata,
    maker: Quantiser | None,
    *,
    inputs: Sequence[Path],
    only_finite: bool = True,
    made: Made | None = None,
) -> None:
    """Write tensors as their plans say; the file appears whole or not at all.

    ``made`` has those tensors that are made in another way.

    Raises FileInvalid for a value that is NaN or infinite if it is to be quantised, or if ``only_finite`` says so.
    """
    made = made or {}
    by_name = {planned.tensor.name: planned for planned in plans}
    specs = [
        Spec(
            name=planned.tensor.name,
            shape=planned.shape,
            kind=planned.kind,
            number=planned.info.number if planned.info else None,
            bytes=planned.nbytes,
        )
        for planned in plans
    ]

    try:
        with atomic_write(target, inputs) as partial, (maker or PackageQuantiser()).into(partial) as take:

            def fill(spec: Spec, at: int | None) -> Iterable[Bytes] | None:
                planned = by_name[spec.name]
                if spec.name in made:
                    return [made[spec.name]()]
                if planned.becomes_blocks:
                    assert at is not None  # noqa: S101 - a ckpt has no blocks
                    take(planned.tensor, planned.kind, at)
                    return None
                return stored(planned, only_finite=only_finite)

            write_container(partial, container, specs, metadata, fill)
    except RowsNotFinite as error:
        check_finite(error.piece)
        raise error.piece.tensor.invalid("a value is beyond what F32 holds") from None


def stored(planned: TensorPlan, *, only_finite: bool = True) -> Iterator[Bytes]:
    """Yield the bytes of a tensor whose elements are stored one by one, in pieces; ``only_finite`` as in ``write``."""
    tensor = planned.tensor
    if planned.kind == tensor.kind and (tensor.kind not in FLOATS or tensor.strides is not None):
        yield tensor.raw()
        return
    for rows in tensor.slices():
        if only_finite:
            check_finite(rows)
        yield rows.raw() if planned.kind == tensor.kind else cast(rows.values(), planned.kind)


def check(file: File) -> None:
    """Raise AdapterUnknown unless a file's tensors make adapters whose factors fit together."""
    found = layout(file.tensors.values())
    if not found.modules:
        raise AdapterUnknown(
            "no tensor of an adapter was found", file.path, "check that the file is an adapter"
        )
    for module in found.modules.values():
        complaint = input_checks.complaint(module)
        if complaint:
            raise AdapterUnknown(complaint, file.path, "the option --force converts it as it is")


def check_finite(rows: TensorRows, values: NDArray[np.floating] | None = None) -> None:
    """Raise FileInvalid naming the first value that is NaN or infinite, of a tensor's rows or of ``values``."""
    tensor = rows.tensor
    values = rows.values() if values is None else values
    if finite(values):
        return
    row, column = (int(n) for n in np.argwhere(~np.isfinite(values))[0])
    block, width = SIZES[tensor.kind]
    raise FileInvalid(
        f"tensor {tensor.name}: {values[row, column]} in row {row + rows.start}, column {column}, "
        f"at byte {tensor.offset + ((row + rows.start) * tensor.row + column) // block * width}, "
        "cannot be quantised",
        tensor.path,
        "sdcpp lora inspect lists all of them",
    )


def metadata_for(file: File, container: str, plans: Sequence[TensorPlan]) -> dict[str, MetadataValue]:
    """Return a file's metadata for a container: its own, without what this project added, and what GGUF wants."""
    kept = {key: entry for key, entry in file.metadata.items() if key != "general.alignment"}
    derived = kept.pop(DERIVED, None)
    if derived is not None:
        for key in str(derived.value).split("\n"):
            kept.pop(key, None)
    if container != "gguf":
        return kept
    added = {
        "general.architecture": MetadataValue(type="STRING", value="lora"),
        "general.type": MetadataValue(type="STRING", value="adapter"),
        "adapter.type": MetadataValue(type="STRING", value="lora"),
    }
    for key, names in _STANDARD.items():
        found = next((kept[name] for name in names if name in kept), None)
        if found is not None and found.type == "STRING":
            added[key] = found
    if any(planned.info for planned in plans):
        added["general.quantization_version"] = MetadataValue(type="UINT32", value=2)
    added = {key: entry for key, entry in added.items() if key not in kept}
    return {**added, **kept, DERIVED: MetadataValue(type="STRING", value="\n".join(added))}


#: GGUF's own keys and the trainers' keys that say the same (https://github.com/Stability-AI/ModelSpec).
_STANDARD = {
    "general.name": ("modelspec.title", "ss_output_name"),
    "general.author": ("modelspec.author",),
    "general.license": ("modelspec.license",),
    "general.description": ("modelspec.description", "modelspec.usage_hint"),
    "general.base_model.0.name": ("ss_sd_model_name", "modelspec.architecture", "ss_base_model_version"),
}
