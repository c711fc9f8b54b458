"""A rewritten adapter as a temporary file, which the converter then writes in any container and type."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from harness.converter.base_weights import BaseWeights
from harness.converter.convert import check
from harness.converter.for_revision import rewritten
from harness.converter.renaming import renamed
from harness.converter.revision_limits import Limits
from harness.converter.rewriting import Rewriting
from harness.converter.scratch_file import scratch_file
from harness.formats.read import read_tensors
from harness.formats.tensor import SAFETENSORS, Tensor
from harness.formats.write import container_of
from sdcpp.errors import TypeUnavailable
from sdcpp.waiting_line import Progress, part, unseen


@contextmanager
def with_names(
    source: Path,
    scheme: str,
    *,
    base: Mapping[str, Tensor] | None = None,
    force: bool = False,
    progress: Progress = unseen,
) -> Iterator[tuple[Path, Rewriting]]:
    """Yield a file with the names of a scheme (see ``renamed``), and what was done.

    ``base`` has the tensors of the base model by name, which tells families apart whose layers have the same names.
    ``progress`` is called with the number of bytes written and their total.

    Raises AdapterUnknown if a module cannot be named, unless ``force`` leaves it out, and FileInvalid.
    """
    file = read_tensors(source)
    if not force:
        check(file)
    family = BaseWeights({name: tensor.shape for name, tensor in base.items()}).family if base else None
    found = renamed(file, scheme, family)
    if not force:
        found.require_complete(f"with the names of {scheme}")
    with _written(found, force=force, progress=progress) as path:
        yield path, found


@contextmanager
def for_limits(
    source: Path,
    target: Path,
    limits: Limits,
    *,
    types: tuple[str, ...] = (),
    base: Mapping[str, Tensor] | None = None,
    force: bool = False,
    rank: int | None = None,
    progress: Progress = unseen,
) -> Iterator[tuple[Path, Rewriting]]:
    """Yield a file that the revisions of ``limits`` apply in every mode (see ``rewritten``), and what was done.

    ``target`` is the file that will be written and ``types`` are its types. ``rank`` is for what would become a full
    difference. ``progress`` is called with a share of the work and 1.

    Raises TypeUnavailable if a revision cannot use its container or types, AdapterUnknown if a module cannot be had,
    unless ``force`` leaves it out, and FileInvalid.
    """
    whose = " and ".join(limits.revisions)
    if reason := limits.why_no_container(container_of(target)):
        raise TypeUnavailable(
            f"{whose} cannot use such a file in every mode ({reason})",
            target,
            "write a .safetensors file, or leave out --for",
        )
    for kind in types:
        if reason := limits.why_no_type(kind):
            raise TypeUnavailable(
                f"{whose} cannot use this type in every mode ({reason})",
                kind,
                "choose F16 or F32, or leave out --for",
            )
    file = read_tensors(source)
    if not force:
        check(file)
    with scratch_file(target) as scratch:
        found = rewritten(file, limits, base, rank=rank, scratch=scratch, progress=part(progress, 0, 0.5))
        if not force:
            found.require_complete(f"for {whose}")
        with _written(found, force=force, progress=part(progress, 0.5, 1)) as path:
            yield path, found


@contextmanager
def _written(found: Rewriting, *, force: bool, progress: Progress) -> Iterator[Path]:
    """Yield a temporary file with the tensors. It has every type of theirs."""
    suffix = "safetensors" if all(planned.kind in SAFETENSORS for planned in found.plans) else "gguf"
    with tempfile.TemporaryDirectory(prefix="sdcpp-") as folder:
        path = Path(folder) / f"rewritten.{suffix}"
        found.write(path, force=force, progress=progress)
        yield path
