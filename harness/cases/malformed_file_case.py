"""Cases of malformed and unusual adapter files: one file, and the pictures that are right for it.

The library must refuse a malformed file, or log a warning and make the picture without it. Where a well-defined part of
the file is valid, the picture with that part alone is right too. It is a failure to abort, to hang, to make any other
picture, or to ignore a file without a warning.
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

#: The time limit for one picture, in seconds. The adapter files are a few kilobytes long.
TIMEOUT = 20.0
#: The limit on a worker's address space, in bytes: several times what a valid file needs. Some malformed files make the
#: library allocate tens of gigabytes.
MEMORY = 4 << 30
#: The apply modes, the preferred one first. At run time, reading the file and applying it are separate steps, and a
#: picture takes the least time.
_MODES = ("at_runtime", *(mode for mode in MODES if mode != "at_runtime"))


@dataclass(frozen=True, slots=True, kw_only=True)
class MalformedFileCase:
    """A case of one malformed or unusual file. The picture must equal one of several references byte for byte.

    ``references`` maps the names that the recipe accepts, such as "without" and "whole", to shots.
    """

    recipe: MalformedFile
    shot: Shot
    references: Mapping[str, Shot]
    dimensions: Mapping[str, str]

    @property
    def name(self) -> str:
        """The name of the recipe."""
        return self.recipe.name

    @property
    def without(self) -> Shot:
        """The shot without the file."""
        return self.references["without"]

    @property
    def shots(self) -> tuple[Shot, ...]:
        """All shots that this case needs."""
        return (self.shot, *self.references.values())


def malformed_file_cases(
    base: Base, modes: Iterable[str], recipes: Iterable[MalformedFile], *, any_suffix: bool
) -> list[MalformedFileCase]:
    """Return the cases of the recipes, in the given apply modes.

    A recipe with ``in_every_mode`` has a case for each mode, the others have one for the preferred mode only.

    ``any_suffix`` says whether the library loads an adapter from a path with any suffix (LoRA API generation C). Other
    libraries look for two suffixes only: the files are named accordingly, and a recipe that asks for a file name with
    another suffix has no case.
    """
    recipes = list(recipes)
    cases = []
    for index, mode in enumerate(m for m in _MODES if m in set(modes)):
        shots = reference_shots(base, mode, any_suffix=any_suffix)
        for recipe in recipes:
            if index and not recipe.in_every_mode:
                continue
            if (
                not any_suffix
                and recipe.file_name
                and not recipe.file_name.endswith((".safetensors", ".ckpt"))
            ):
                continue
            file = WrittenMalformedFile(base=base, recipe=recipe, any_suffix=any_suffix)
            # "whole" is always needed: differences are divided by the effect of the whole adapter.
            needed = {"without", "whole", *recipe.accept, *recipe.quietly}
            cases.append(
                MalformedFileCase(
                    recipe=recipe,
                    shot=Shot(base=base, mode=mode, sequence=((Use(file=file),),)),
                    references={label: shot for label, shot in shots.items() if label in needed},
                    dimensions={
                        "base": base.name,
                        "mode": mode,
                        "container": recipe.container,
                        "type": "odd",
                    },
                )
            )
    return cases


def reference_shots(base: Base, mode: str, *, any_suffix: bool) -> dict[str, Shot]:
    """Return the reference shots by the names that recipes use. Each loads a valid safetensors file.

    - "without": no file
    - "whole": both pairs of the adapter
    - "first", "second": one of the two pairs
    - "negated": both pairs, with the sign of the first changed
    - "f32": both pairs in 32 bits
    - "bf16": both pairs as bfloat16, without alpha
    """
    valid = sound_file(base)
    up = f"{valid.first}.lora_up.weight"
    contents: dict[str, Tensors] = {
        "whole": dict(valid.tensors),
        "first": valid.only(valid.first),
        "second": valid.only(valid.second),
        "negated": {**valid.tensors, up: np.negative(valid.tensors[up])},
        "f32": {name: array.astype(np.float32) for name, array in valid.tensors.items()},
        "bf16": valid.bfloat16(),
    }
    shots = {"without": Shot(base=base, mode=mode)}
    for label, tensors in contents.items():
        recipe = _reference_file(valid, label, tensors)
        file = WrittenMalformedFile(base=base, recipe=recipe, any_suffix=any_suffix)
        shots[label] = Shot(base=base, mode=mode, sequence=((Use(file=file),),))
    return shots


def _reference_file(valid: SoundFile, label: str, tensors: Tensors) -> MalformedFile:
    return MalformedFile(
        name=f"healthy-{label}",
        container="safetensors",
        why="for comparison",
        content=lambda: safetensors.build_file(valid.safetensors(tensors)),
        accept=frozenset(),
        quietly=frozenset({label}),
    )
