"""What is tried: cases, and the shots that they need.

A *shot* is one picture to be made; a *case* is one question, answered by comparing the picture of its own shot
with those of reference shots. Cases share references, and each shot is run once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Protocol

from harness.adapter import Adapter
from harness.base import Base
from harness.files import AdapterFile

#: In the order in which the report shows them.
MODES = ("immediately", "at_runtime", "auto")


class AnyFile(Protocol):
    """What can be named in a generation: ``name`` tells it from the others of its ``folder``."""

    @property
    def name(self) -> str:
        """Its name in records."""

    @property
    def folder(self) -> Path:
        """The folder that the context is given."""

    @property
    def path(self) -> Path:
        """Where it is once ``make`` has run."""

    def make(self) -> Path:
        """Write it unless it is there, and return its path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """An adapter file named in a generation, and its multiplier."""

    file: AnyFile
    multiplier: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One picture: a base model, possibly with an adapter merged into it, and what is generated with it.

    ``merged`` is the adapter file whose stored values are merged into the base in numpy, for a reference.
    ``sequence`` lists the adapters of each generation in one context; the last picture counts.
    """

    base: Base
    mode: str
    merged: AdapterFile | None = None
    sequence: tuple[tuple[Use, ...], ...] = ((),)

    @property
    def name(self) -> str:
        """A readable identity: equal for shots that make the same picture."""
        words = [self.base.name, self.mode]
        if self.merged:
            words.append(f"merged-{self.merged.values_digest()[:12]}")
        for uses in self.sequence:
            words.append("+".join(f"{use.file.name}@{use.multiplier:g}" for use in uses) or "none")
        return "/".join(words)

    @property
    def fresh(self) -> bool:
        """Whether a context of its own is needed: adding an adapter to weights and taking it away rounds them."""
        return self.mode != "at_runtime" and any(self.sequence)

    def request(self, seed: int) -> dict[str, Any]:
        """Return the worker's request for this shot; the files it names exist afterwards."""
        base = self.base
        files = {role: str(path) for role, path in base.make().items()}
        if self.merged:
            # The library takes a tensor from the last file that has it.
            files["diffusion_model"] = str(self.merged.merged())
        uses = [use for generation in self.sequence for use in generation]
        for use in uses:
            use.file.make()
        folder = uses[0].file.folder if uses else base.folder
        return {
            "files": files,
            "mode": self.mode,
            "lora_dir": str(folder),
            "fresh": self.fresh,
            "sequence": [[[str(use.file.path), use.multiplier] for use in g] for g in self.sequence],
            "generation": {
                "prompt": base.prompt,
                "width": base.width,
                "height": base.height,
                "steps": base.steps,
                "cfg_scale": base.cfg_scale,
                "seed": seed,
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """A bound on the effect error, and why it is what it is."""

    bound: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One question to a library.

    ``without`` is the picture without an adapter, ``wanted`` the one that the adapter should lead to;
    ``equal`` is a shot whose picture must be the same to the byte; ``source`` is the wanted picture of the float
    adapter that a quantised one was made from, by which the loss is told. Errors are relative to what ``scale``
    differs from ``without``: the wanted picture, unless that is no different.
    """

    name: str
    shot: Shot
    without: Shot
    dimensions: Mapping[str, str]
    wanted: Shot | None = None
    tolerance: Tolerance | None = None
    equal: Shot | None = None
    source: Shot | None = None
    scale: Shot | None = None

    @property
    def shots(self) -> tuple[Shot, ...]:
        """All the shots that judging this case needs."""
        return tuple(
            s for s in (self.shot, self.without, self.wanted, self.equal, self.source, self.scale) if s
        )


#: 8-bit pixels of an effect of 30 grey levels RMS carry a rounding error of 0.41 / 30, or 1.4 %; F16 activations
#: of the encoder and the attention add about as much. Measured on 2025-12 and 2026-05, CPU: 0.8 to 1.6 %.
FLOAT = Tolerance(bound=0.04, why="rounding of pixels and of F16 activations; measured 0.8 to 1.6 %")
#: The wanted picture is made from the dequantised values, so this bounds what computing with blocks adds: at run
#: time ggml also quantises the activations to 8 bits for these types. Measured on 2026-05, CPU: 1.5 to 2.5 %.
BLOCKS = Tolerance(
    bound=0.08, why="as float, and activations are quantised to 8 bits at run time; measured to 2.5 %"
)

#: Containers and tensor types, in the order in which the report shows them.
FILES = (
    ("safetensors", "F32"),
    ("safetensors", "F16"),
    ("ckpt", "F16"),
    ("gguf", "F32"),
    ("gguf", "F16"),
    ("gguf", "BF16"),
    ("gguf", "Q8_0"),
    ("gguf", "Q4_0"),
)
_FLOATS = frozenset({"F32", "F16", "BF16"})


def cases(base: Base, modes: Iterable[str]) -> list[Case]:
    """Return all cases for a base model in the given apply modes."""
    adapter = Adapter(name="lora-r32", base=base.name)
    without = Shot(base=base, mode="auto")
    found: list[Case] = []
    for mode in (m for m in MODES if m in set(modes)):
        common = {"base": base.name, "mode": mode}
        found.append(
            Case(
                name="none",
                shot=Shot(base=base, mode=mode),
                without=without,
                equal=without,
                dimensions={**common, "container": "none", "type": "none"},
            )
        )
        for container, kind in FILES:
            found.append(_file_case(without, adapter, mode, container, kind))
        float_file = AdapterFile(base=base, adapter=adapter, container="gguf", kind="F16")
        found.append(
            Case(
                name="gguf-F16-times-0",
                shot=Shot(base=base, mode=mode, sequence=((Use(file=float_file, multiplier=0.0),),)),
                without=without,
                wanted=without,
                scale=Shot(base=base, mode="auto", merged=float_file),
                tolerance=FLOAT,
                dimensions={**common, "container": "gguf", "type": "F16", "multiplier": "0"},
            )
        )
    return found


def _file_case(without: Shot, adapter: Adapter, mode: str, container: str, kind: str) -> Case:
    base = without.base
    file = AdapterFile(base=base, adapter=adapter, container=container, kind=kind)
    exact = AdapterFile(base=base, adapter=adapter, container="safetensors", kind="F32")
    twin = AdapterFile(base=base, adapter=adapter, container="safetensors", kind=kind)
    quantised = kind not in _FLOATS
    has_twin = container != "safetensors" and kind in ("F32", "F16")
    return Case(
        name=file.name,
        shot=Shot(base=base, mode=mode, sequence=((Use(file=file),),)),
        without=without,
        wanted=Shot(base=base, mode="auto", merged=file),
        tolerance=BLOCKS if quantised else FLOAT,
        equal=Shot(base=base, mode=mode, sequence=((Use(file=twin),),)) if has_twin else None,
        source=Shot(base=base, mode="auto", merged=exact),
        dimensions={
            "base": base.name,
            "mode": mode,
            "container": container,
            "type": kind,
            "rank": str(adapter.rank),
            "multiplier": "1",
        },
    )


def select(cases: Iterable[Case], patterns: Sequence[str]) -> list[Case]:
    """Return the cases whose name or ``name@mode`` matches one of the patterns (shell wildcards); all if none."""
    return [
        case
        for case in cases
        if not patterns
        or any(
            fnmatchcase(text, p)
            for p in patterns
            for text in (case.name, f"{case.name}@{case.dimensions['mode']}")
        )
    ]


def plan_digest(parts: Iterable[object]) -> str:
    """Return a digest that two runs share when they make the same pictures with the same builds."""
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()


def unique_shots(cases: Iterable[Case]) -> list[Shot]:
    """Return each shot once, those that share a context next to each other."""
    shots = {shot.name: shot for case in cases for shot in case.shots}
    return sorted(shots.values(), key=lambda s: (s.base.name, s.mode, s.merged is not None, s.fresh, s.name))
