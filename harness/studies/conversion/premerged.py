"""Compare a LoRA that is merged before the base model is quantised with a LoRA that the library applies.

``sdcpp study premerged`` runs this study. When the library adds a small ΔW to quantised weights, rounding removes part
of it (stable-diffusion.cpp issues #904 and #709).

The reference is the change that the LoRA makes to a picture of the float base model. For it the LoRA is merged in
float64. The study measures the change that the LoRA makes to a picture of the quantised base model in three ways:
merged before quantising, applied in mode immediately, and applied in mode at_runtime. The error is the RMS difference
of the two changes, divided by the RMS of the reference. Quantising the base model also changes the picture without a
LoRA; the table has that error as well.
"""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.adapters.use import Use
from harness.cases.case import Shot
from harness.converter.convert import convert
from harness.converter.merge_into_base import WeightedAdapter, merge
from harness.converter.picture_loss import ExistingFile, record_shots
from harness.judging import oracle
from harness.models.base_model import Base
from harness.quantising.package_quantiser import open_quantiser
from harness.studies.conversion import sample_adapter
from sdcpp import console
from sdcpp.binding import build_folder


@dataclass(frozen=True, kw_only=True, eq=False)
class BaseWithModelFile(Base):
    """A base model whose file "model" is replaced by the file ``model``."""

    model: Path

    def make(self) -> dict[str, Path]:
        """Write the other files if they are not in the cache, and return the paths by role."""
        return super().make() | {"model": self.model}


def heading(kind: str) -> tuple[str, str]:
    """Return the first two lines of the Markdown table for base models of type ``kind``."""
    return (
        f"| ‖ΔW‖ / ‖W‖ | library | merged, then {kind} | immediately | at run time | base alone |",
        "|---|---|---|---|---|---|",
    )


def row(folder: Path, base: Base, kind: str, strength: float) -> str:
    """Return the line of the Markdown table for a build and a LoRA with ‖ΔW‖ = ``strength`` * ‖W‖.

    A cell has the error, or the outcome if the library made no picture.
    """
    library = build_folder.read(folder)
    plain = base.make()["model"]
    with tempfile.TemporaryDirectory() as name, open_quantiser(folder) as quantiser:
        temporary = Path(name)
        adapter = temporary / "adapter.safetensors"
        reference = temporary / "reference.safetensors"
        quantised = temporary / "base.gguf"
        merged = temporary / "merged.gguf"
        sample_adapter.write(adapter, sample_adapter.for_base(base, 32, 4.0, strength), "F32")
        merge(plain, [WeightedAdapter(path=adapter)], reference)
        convert(plain, quantised, [kind], quantiser, force=True)
        merge(plain, [WeightedAdapter(path=adapter)], merged, [kind], quantiser)
        use = ((Use(file=ExistingFile(path=adapter)),),)
        shots = {
            "without": shot(base, plain, "auto"),
            "reference": shot(base, reference, "auto"),
            "merged": shot(base, merged, "auto"),
            "immediately": dataclasses.replace(shot(base, quantised, "immediately"), sequence=use),
            "at_runtime": dataclasses.replace(shot(base, quantised, "at_runtime"), sequence=use),
            "base alone": shot(base, quantised, "auto"),
        }
        records = record_shots(library, list(shots.values()))
        seen = {name: records.observations[library.identity, s.name] for name, s in shots.items()}
        pictures = {name: records.pictures[o.picture] for name, o in seen.items() if o.picture}
    scale = oracle.rms(pictures["reference"], pictures["without"])
    state = "patched" if library.record["patches"] else "pristine"
    cells = [f"{strength:g}", f"{library.record['revision']} {state}"]
    for name in ("merged", "immediately", "at_runtime"):
        picture = pictures.get(name)
        if picture is None:
            console.note(f"no picture of {name}: {seen[name].text}")
            cells.append(seen[name].outcome)
            continue
        change = picture.astype(float) - pictures["base alone"]
        wanted = pictures["reference"].astype(float) - pictures["without"]
        cells.append(f"{np.sqrt(np.mean((change - wanted) ** 2)) / scale:.1%}")
    cells.append(f"{oracle.rms(pictures['base alone'], pictures['without']) / scale:.1%}")
    return f"| {' | '.join(cells)} |"


def shot(base: Base, model: Path, mode: str) -> Shot:
    """Return the shot of ``base`` with another model file, without an adapter."""
    fields = {f.name: getattr(base, f.name) for f in dataclasses.fields(base)}
    other = BaseWithModelFile(**{**fields, "name": f"{base.name}-{model.stem}"}, model=model)
    return Shot(base=other, mode=mode)
