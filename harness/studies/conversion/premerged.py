"""An adapter merged before quantising beside one applied by the library.

``sdcpp study premerged`` runs it.

A quantised base swallows a small ΔW when the library adds it to blocks (stable-diffusion.cpp issues #904, #709).
The truth is what the adapter changes in the picture of the float base, merged in float64. Told is how far what it
changes in pictures of the quantised base is from that, relative to it: merged before quantising, applied immediately,
applied at run time. Quantising the base costs something without any adapter, too; that is told beside it.
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
from harness.converter.picture_loss import ExistingFile, observed
from harness.judging import oracle
from harness.models.base_model import Base
from harness.quantising.package_quantiser import open_quantiser
from harness.studies.conversion import sample_adapter
from sdcpp import console
from sdcpp.binding import build_folder


@dataclass(frozen=True, kw_only=True, eq=False)
class Replaced(Base):
    """A base model whose file "model" is another one."""

    model: Path

    def make(self) -> dict[str, Path]:
        """Return the paths of the files by role."""
        return super().make() | {"model": self.model}


def heading(kind: str) -> tuple[str, str]:
    """Return the first two lines of the table for a type of the base model."""
    return (
        f"| ‖ΔW‖ / ‖W‖ | library | merged, then {kind} | immediately | at run time | base alone |",
        "|---|---|---|---|---|---|",
    )


def row(folder: Path, base: Base, kind: str, strength: float) -> str:
    """Return one line of the table."""
    library = build_folder.read(folder)
    plain = base.make()["model"]
    with tempfile.TemporaryDirectory() as place, open_quantiser(folder) as made:
        adapter, truth, packed, merged = (
            Path(place) / name
            for name in ("adapter.safetensors", "truth.safetensors", "base.gguf", "merged.gguf")
        )
        sample_adapter.write(adapter, sample_adapter.for_base(base, 32, 4.0, strength), "F32")
        merge(plain, [WeightedAdapter(path=adapter)], truth)
        convert(plain, packed, [kind], made, anyway=True)
        merge(plain, [WeightedAdapter(path=adapter)], merged, [kind], made)
        use = ((Use(file=ExistingFile(path=adapter)),),)
        shots = {
            "without": shot(base, plain, "auto"),
            "truth": shot(base, truth, "auto"),
            "merged": shot(base, merged, "auto"),
            "immediately": dataclasses.replace(shot(base, packed, "immediately"), sequence=use),
            "at_runtime": dataclasses.replace(shot(base, packed, "at_runtime"), sequence=use),
            "alone": shot(base, packed, "auto"),
        }
        records = observed(library, list(shots.values()))
        seen = {name: records.observations[library.identity, s.name] for name, s in shots.items()}
        pictures = {name: records.pictures[o.picture] for name, o in seen.items() if o.picture}
    scale = oracle.rms(pictures["truth"], pictures["without"])
    state = "patched" if library.record["patches"] else "pristine"
    cells = [f"{strength:g}", f"{library.record['revision']} {state}"]
    for name in ("merged", "immediately", "at_runtime"):
        found = pictures.get(name)
        if found is None:
            console.note(f"{name}: {seen[name].text}")
            cells.append(seen[name].outcome)
            continue
        change = found.astype(float) - pictures["alone"]
        wanted = pictures["truth"].astype(float) - pictures["without"]
        cells.append(f"{np.sqrt(np.mean((change - wanted) ** 2)) / scale:.1%}")
    cells.append(f"{oracle.rms(pictures['alone'], pictures['without']) / scale:.1%}")
    return f"| {' | '.join(cells)} |"


def shot(base: Base, model: Path, mode: str) -> Shot:
    """Return the shot of a base whose model is another file."""
    fields = {f.name: getattr(base, f.name) for f in dataclasses.fields(base)}
    other = Replaced(**{**fields, "name": f"{base.name}-{model.stem}"}, model=model)
    # The files of the other roles lie where those of the base do.
    return Shot(base=other, mode=mode)
