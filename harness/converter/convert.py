"""Convert a file of tensors to another container or other types. Only a few rows of one tensor are in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.converter import input_checks
from harness.converter.alpha_tensors import alpha_tensors
from harness.converter.cast import cast
from harness.converter.contents import require_adapter
from harness.converter.modules import Layout, layout_of
from harness.converter.plan import PLAIN, TensorPlan, plan
from harness.converter.rebalance import Rebalancer
from harness.formats.read import read_tensors
from harness.formats.tensor import FLOATS, SIZES, Bytes, File, Metadata, MetadataValue, Tensor, TensorRows
from harness.formats.write import DERIVED, Spec, container_of, write_container
from harness.quantising.finite import finite
from harness.quantising.package_quantiser import PackageQuantiser
from harness.quantising.quantiser import Quantiser, RowsNotFinite
from sdcpp.atomic_write import atomic_write
from sdcpp.errors import AdapterUnknown, FileInvalid
from sdcpp.waiting_line import Progress, unseen

#: For each tensor that is not converted from its stored values, by name: a function that returns its bytes.
Computed = Mapping[str, Callable[[], Bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """A finished conversion: the plan of each tensor, and the sizes of both files in bytes.

    ``skipped`` are the keys of modules that were left out of a merged model.
    """

    source: Path
    target: Path
    plans: Sequence[TensorPlan]
    before: int
    after: int
    skipped: Sequence[str] = ()

    @property
    def bits(self) -> float:
        """The average number of bits for each element of the source file, over all tensors."""
        size = sum(planned.tensor.size for planned in self.plans)
        return 8 * sum(planned.nbytes for planned in self.plans) / max(1, size)

    def as_json(self) -> dict[str, object]:
        """Return the conversion as values that JSON supports."""
        return {
            "source": self.source.name,
            "target": self.target.name,
            "bytes_before": self.before,
            "bytes_after": self.after,
            "bits": self.bits,
            "tensors": [
                {
                    "name": planned.tensor.name,
                    "shape": list(planned.shape),
                    "type_before": planned.tensor.kind,
                    "type": planned.kind,
                    "why": planned.why,
                }
                for planned in self.plans
            ],
            "skipped": list(self.skipped),
        }


def convert(
    source: Path,
    target: Path,
    wanted: Sequence[str] = (),
    quantiser: Quantiser | None = None,
    chosen: Mapping[str, str] | None = None,
    *,
    force: bool = False,
    rebalance: bool = False,
    pad: bool = False,
    plain: Path | None = None,
    progress: Progress = unseen,
) -> Conversion:
    """Convert the file ``source`` to the file ``target``, whose suffix decides the container.

    - ``wanted`` are the types in order of preference, and ``chosen`` the types of single tensors (see ``plan``).
      Without them every tensor keeps its type and its bits. If the container has no quantised types, quantised tensors
      become F32 with exactly their values.
    - ``quantiser`` is needed only for quantised types.
    - An alpha that only the metadata declare is written as a tensor too (see ``alpha_tensors``).
    - ``force`` converts files that ``check`` refuses, as far as possible.
    - ``rebalance`` stores other factors of the same ΔW where they lose less.
    - ``pad`` also pads their rank to whole blocks.
    - ``plain`` is the result of the same conversion without ``rebalance``, whose factors are then not rounded again.
    - ``progress`` is called with the number of bytes written and their total.

    Raises AdapterUnknown, FileInvalid, UnsafePickle, TypeUnavailable, OutputRefused and LibraryUnusable. Then
    ``target`` is not changed.
    """
    container = container_of(target)
    quantises = any(name not in PLAIN for name in (*wanted, *(chosen or {}).values()))
    if quantises and quantiser is not None:
        quantiser.begin()
    file = read_tensors(source)
    adapter = layout_of(file)
    if not force:
        check(file, adapter)
    types = quantiser.types() if quantiser is not None and quantises else {}
    plans = plan(_tensors(file, adapter), container, wanted, types, chosen)
    with ExitStack() as work:
        rebalanced: Computed = {}
        if rebalance and quantiser is not None and quantises:
            known = read_tensors(plain).tensors if plain else None
            rebalancer = Rebalancer(adapter, plans, quantiser, wanted, pad=pad, plain=known)
            plans, rebalanced = rebalancer.plans, work.enter_context(rebalancer.computed())
        alphas = alpha_tensors(adapter, plans)
        plans = [*plans, *alphas.plans]
        write(
            target,
            container,
            plans,
            metadata_for(file, container, plans),
            quantiser,
            inputs=[source],
            only_finite=not force,
            computed={**rebalanced, **alphas.computed},
            progress=progress,
        )
    return Conversion(
        source=source, target=target, plans=plans, before=source.stat().st_size, after=target.stat().st_size
    )


def write(
    target: Path,
    container: str,
    plans: Sequence[TensorPlan],
    metadata: Metadata,
    quantiser: Quantiser | None,
    *,
    inputs: Sequence[Path],
    only_finite: bool = True,
    computed: Computed | None = None,
    progress: Progress = unseen,
) -> None:
    """Write a file with the tensors of ``plans``. ``target`` is replaced only when the new file is complete.

    ``inputs`` are the files that are read, which ``target`` must not be. ``computed`` has functions that return the
    bytes of single tensors; all other tensors are converted from their stored values. ``progress`` is called with the
    number of bytes written and their total.

    Raises FileInvalid if a value that must be quantised is NaN or infinite, or with ``only_finite`` any other value.
    Raises OutputRefused if the file cannot be written.
    """
    computed = computed or {}
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

    total, done = sum(planned.nbytes for planned in plans), 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress(done, total)

    try:
        with atomic_write(target, inputs) as partial, (quantiser or PackageQuantiser()).into(partial) as take:

            def fill(spec: Spec, at: int | None) -> Iterable[Bytes] | None:
                planned = by_name[spec.name]
                if spec.name in computed:
                    return _counted([computed[spec.name]()], advance)
                if planned.becomes_blocks:
                    assert at is not None  # noqa: S101 - a ckpt has no quantised types
                    take(planned.tensor, planned.kind, at)
                    advance(planned.nbytes)
                    return None
                return _counted(converted(planned, only_finite=only_finite), advance)

            write_container(partial, container, specs, metadata, fill)
    except RowsNotFinite as error:
        check_finite(error.piece)
        raise error.piece.tensor.invalid("a value is beyond the range of F32") from None


def converted(planned: TensorPlan, *, only_finite: bool = True) -> Iterator[Bytes]:
    """Yield the bytes of a tensor that is not quantised, in pieces.

    Raises FileInvalid with ``only_finite`` if a value is NaN or infinite.
    """
    tensor = planned.tensor
    if planned.kind == tensor.kind and (tensor.kind not in FLOATS or tensor.strides is not None):
        yield tensor.raw()
        return
    for rows in tensor.slices():
        if only_finite:
            check_finite(rows)
        yield rows.raw() if planned.kind == tensor.kind else cast(rows.values(), planned.kind)


def _counted(pieces: Iterable[Bytes], advance: Callable[[int], None]) -> Iterator[Bytes]:
    """Yield pieces, and call ``advance`` with the number of bytes of each when the next one is asked for."""
    for piece in pieces:
        yield piece
        advance(piece.nbytes)


def _tensors(file: File, adapter: Layout) -> list[Tensor]:
    """Return the tensors of a file. Those of an adapter have the axes that a writer of GGUF dropped."""
    modules = adapter.modules.values()
    whole = {tensor.name: tensor for module in modules for tensor in module.parts.values()}
    return [whole.get(name, tensor) for name, tensor in file.tensors.items()]


def check(file: File, adapter: Layout | None = None) -> None:
    """Raise AdapterUnknown if a file has no adapter, or if a module has a problem (see ``input_checks``).

    ``adapter`` is ``layout_of(file)``, if it is known already.
    """
    modules = (adapter or layout_of(file)).modules
    require_adapter(file, modules)
    for module in modules.values():
        problem = input_checks.problem(module)
        if problem:
            raise AdapterUnknown(problem, file.path, "the option --force converts it as it is")


def check_finite(rows: TensorRows, values: NDArray[np.floating] | None = None) -> None:
    """Raise FileInvalid if a value of ``rows`` is NaN or infinite. The message has the first such value.

    ``values`` [rows, row] are checked in place of the stored values if they are given.
    """
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
        "sdcpp lora inspect lists all such tensors",
    )


def metadata_for(file: File, container: str, plans: Sequence[TensorPlan]) -> dict[str, MetadataValue]:
    """Return the metadata for a file that is converted to ``container``.

    It has the metadata of ``file``, without entries that an earlier conversion added. For GGUF it also has the entries
    that GGUF requires, and copies of entries under GGUF's standard names.
    """
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
        entry = next((kept[name] for name in names if name in kept), None)
        if entry is not None and entry.type == "STRING":
            added[key] = entry
    if any(planned.info for planned in plans):
        added["general.quantization_version"] = MetadataValue(type="UINT32", value=2)
    added = {key: entry for key, entry in added.items() if key not in kept}
    return {**added, **kept, DERIVED: MetadataValue(type="STRING", value="\n".join(added))}


#: GGUF's standard keys, and the keys of training programs with the same meaning. The first key that exists is used
#: (https://github.com/Stability-AI/ModelSpec).
_STANDARD = {
    "general.name": ("modelspec.title", "ss_output_name"),
    "general.author": ("modelspec.author",),
    "general.license": ("modelspec.license",),
    "general.description": ("modelspec.description", "modelspec.usage_hint"),
    "general.base_model.0.name": ("ss_sd_model_name", "modelspec.architecture", "ss_base_model_version"),
}
