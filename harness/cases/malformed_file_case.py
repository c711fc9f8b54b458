"""Broken and odd files put to a library: what is wanted of it, and whether it did that.

A file that is broken is refused, or the picture is made without it and the log says so; where a well-defined
part of a file is sound, the picture with that part is right too. Wrong is to abort, to hang, to make any other
picture, or to leave a file aside without a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from harness.adapters.use import Use
from harness.cases.case import MODES, Shot
from harness.malformed.fields import safetensors
from harness.malformed.malformed_file import MalformedFile, WrittenMalformedFile
from harness.malformed.sound_file import SoundFile, Tensors, sound_file
from harness.models.base_model import Base

#: Seconds for a picture with a file of a few kilobytes.
TIMEOUT = 20.0
#: Bytes of address space for a worker: several times what a healthy one needs. Some broken files make a library
#: ask for tens of gigabytes, which must not become this machine's trouble.
MEMORY = 4 << 30
#: At run time first: there, reading a file and using it are apart, and a picture is cheapest.
_MODES = ("at_runtime", *(mode for mode in MODES if mode != "at_runtime"))


@dataclass(frozen=True, slots=True, kw_only=True)
class MalformedFileCase:
    """One file put to a library: a case whose answer is one of several pictures, equal to the byte.

    ``references`` maps the names that a recipe uses to shots: "without", "whole" and so on.
    """

    recipe: MalformedFile
    shot: Shot
    references: Mapping[str, Shot]
    dimensions: Mapping[str, str]

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.recipe.name

    @property
    def without(self) -> Shot:
        """The picture without the file."""
        return self.references["without"]

    @property
    def shots(self) -> tuple[Shot, ...]:
        """All the shots that judging this trial needs."""
        return (self.shot, *self.references.values())


def malformed_file_cases(
    base: Base, modes: Iterable[str], recipes: Iterable[MalformedFile], *, any_suffix: bool
) -> list[MalformedFileCase]:
    """Return a trial for every recipe, in every mode where the mode can matter and in the first one elsewhere.

    ``any_suffix`` says that the library takes a path with any suffix (LoRA API generation C); for others the
    files are named so that their content is looked at. A recipe with a file name of its own that such a library
    would not look for is left out.
    """
    wanted = list(recipes)
    found = []
    for place, mode in enumerate(m for m in _MODES if m in set(modes)):
        known = references(base, mode, any_suffix=any_suffix)
        for recipe in wanted:
            if place and not recipe.in_every_mode:
                continue
            if (
                not any_suffix
                and recipe.file_name
                and not recipe.file_name.endswith((".safetensors", ".ckpt"))
            ):
                continue
            file = WrittenMalformedFile(base=base, recipe=recipe, any_suffix=any_suffix)
            # The whole is always needed: differences are told relative to its effect.
            needed = {"without", "whole", *recipe.accept, *recipe.quietly}
            found.append(
                MalformedFileCase(
                    recipe=recipe,
                    shot=Shot(base=base, mode=mode, sequence=((Use(file=file),),)),
                    references={label: shot for label, shot in known.items() if label in needed},
                    dimensions={
                        "base": base.name,
                        "mode": mode,
                        "container": recipe.container,
                        "type": "odd",
                    },
                )
            )
    return found


def references(base: Base, mode: str, *, any_suffix: bool) -> dict[str, Shot]:
    """Return the shots by the names that recipes use: healthy safetensors files with part of the seed.

    "whole" has both pairs, "first" and "second" one of them, "negated" both with the first one's sign turned,
    "f32" both in 32 bits, "bf16" both as bfloat16 and without alpha.
    """
    healthy = sound_file(base)
    turned = f"{healthy.first}.lora_up.weight"
    parts: dict[str, Tensors] = {
        "whole": dict(healthy.tensors),
        "first": healthy.only(healthy.first),
        "second": healthy.only(healthy.second),
        "negated": {**healthy.tensors, turned: np.negative(healthy.tensors[turned])},
        "f32": {name: array.astype(np.float32) for name, array in healthy.tensors.items()},
        "bf16": healthy.bfloat16(),
    }
    shots = {"without": Shot(base=base, mode=mode)}
    for label, tensors in parts.items():
        file = WrittenMalformedFile(
            base=base, recipe=_healthy(healthy, label, tensors), any_suffix=any_suffix
        )
        shots[label] = Shot(base=base, mode=mode, sequence=((Use(file=file),),))
    return shots


def _healthy(healthy: SoundFile, label: str, tensors: Tensors) -> MalformedFile:
    return MalformedFile(
        name=f"healthy-{label}",
        container="safetensors",
        why="for comparison",
        content=lambda: safetensors.build_file(healthy.safetensors(tensors)),
        accept=frozenset(),
        quietly=frozenset({label}),
    )
