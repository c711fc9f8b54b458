"""Judge the library and the converter by the merge that a trainer's own library makes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.adapters.merged_base import DIFFUSION_MODEL
from harness.adapters.use import Use
from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import Case, Shot
from harness.cases.dimensions import FLOAT_TOLERANCE
from harness.converter.convert import convert
from harness.converter.merge_into_base import WeightedAdapter, merge
from harness.converter.picture_loss import ExistingFile
from harness.formats.read import read_tensors
from harness.formats.write import write_arrays
from harness.models.base_model import Base, TensorId
from harness.records.record import Side
from harness.studies.trainers import named_weights
from harness.studies.trainers.writers import Written
from sdcpp.binding.build_folder import Build
from sdcpp.errors import Error

F64 = NDArray[np.float64]
#: The apply modes of the cases.
MODES = ("immediately", "at_runtime")


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainerMergedBase(Base):
    """A base model with the tensors of ``merged`` in place of its own; the file has those of the diffusion model."""

    merged: Path

    @cached_property
    def digest(self) -> str:
        """A digest that changes with the recipe and with the merged weights."""
        with self.merged.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        return hashlib.sha256(f"{super().digest} {content}".encode()).hexdigest()

    @property
    def folder(self) -> Path:
        """The folder of the merged weights."""
        return self.merged.parent

    def make(self) -> dict[str, Path]:
        """Write the files of the base model if they are not in the cache, and return the paths by role."""
        own = {f.name: getattr(self, f.name) for f in fields(Base)}
        return Base(**own).make() | {"diffusion_model": self.merged}


def cases(base: Base, written: Written, folder: Path) -> list[Case]:
    """Return the cases of an adapter in each apply mode. ``folder`` gets the merged model for the wanted picture."""
    merged = named_weights.read_merged(base, written.merged)
    path = folder / f"{written.writer}-wanted.safetensors"
    arrays = {name.removeprefix(DIFFUSION_MODEL): a.astype(np.float32) for (_, name), a in merged.items()}
    write_arrays(path, "safetensors", arrays)
    own = {f.name: getattr(base, f.name) for f in fields(Base)}
    wanted = TrainerMergedBase(**{**own, "name": f"{base.name}-{written.writer}"}, merged=path)
    return [
        Case(
            name=f"trainers-{written.writer}",
            shot=Shot(base=base, mode=mode, sequence=((Use(file=ExistingFile(path=written.file)),),)),
            without=Shot(base=base, mode="at_runtime"),
            wanted=Shot(base=wanted, mode="at_runtime"),
            tolerance=FLOAT_TOLERANCE,
            dimensions={"base": base.name, "mode": mode, "writer": written.writer},
        )
        for mode in MODES
    ]


def build_under_test(build: Build, chosen: Sequence[Case], repeat: str) -> BuildUnderTest:
    """Return a build with the cases; ``repeat`` is the command that repeats the study."""
    record = build.record
    patched = bool(record["patches"])
    label = f"{record['revision']} {'patched' if patched else 'pristine'}"
    side = Side(
        label=label,
        revision=record["revision"],
        patched=patched,
        backend=build.backend,
        identity=build.identity,
        build=record,
    )
    # The study has no option for one case: what is appended to the command is a comment.
    return BuildUnderTest(side=side, build=build, cases=chosen, repeat=f"{repeat} #")


def converter_errors(base: Base, written: Written, folder: Path) -> tuple[float | None, str]:
    """Return the relative error of ΔW when this project converts an adapter to GGUF and merges it, in float64.

    The larger error of the file itself and of the converted file counts. If the converter refuses the adapter, the
    error is None and the text is the reason. ``folder`` gets the files.
    """
    wanted = named_weights.read_merged(base, written.merged)
    plain = folder / "converter-base.safetensors"
    values = {tensor: base.values(tensor).astype(np.float64) for tensor in wanted}
    write_arrays(plain, "safetensors", {name: array for (_, name), array in values.items()})
    converted = folder / f"{written.writer}.gguf"
    merged = folder / f"{written.writer}-merged.safetensors"
    errors = []
    try:
        convert(written.file, converted, ["F32"])
        for adapter in (written.file, converted):
            merge(plain, [WeightedAdapter(path=adapter)], merged)
            found = {name: tensor.values() for name, tensor in read_tensors(merged).tensors.items()}
            errors.append(relative_error(values, wanted, found))
    except Error as error:
        return None, f"{error.what}: {Path(error.subject).name}"
    return max(errors), ""


def relative_error(
    base: Mapping[TensorId, F64], wanted: Mapping[TensorId, F64], found: Mapping[str, NDArray[np.floating]]
) -> float:
    """Return the norm of the error of all merged weights together, divided by the norm of all ΔW."""
    error = sum(float(np.sum((found[name] - array) ** 2)) for (_, name), array in wanted.items())
    change = sum(float(np.sum((array - base[tensor]) ** 2)) for tensor, array in wanted.items())
    return math.sqrt(error / change)
