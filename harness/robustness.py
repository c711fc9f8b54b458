"""Broken and odd files put to a library: what is wanted of it, and whether it did that.

A file that is broken is refused, or the picture is made without it and the log says so; where a well-defined
part of a file is sound, the picture with that part is right too. Wrong is to abort, to hang, to make any other
picture, or to leave a file aside without a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from harness import oracle
from harness.anatomy import safetensors
from harness.base import Base
from harness.broken.recipe import OddFile, Recipe
from harness.broken.seed import Seed, Tensors, seed
from harness.case import MODES, Shot
from harness.oracle import Finding
from harness.record import Observation, Pixels
from harness.use import Use
from harness.verdict import Verdict

#: Seconds for a picture with a file of a few kilobytes.
TIMEOUT = 20.0
#: Bytes of address space for a worker: several times what a healthy one needs. Some broken files make a library
#: ask for tens of gigabytes, which must not become this machine's trouble.
MEMORY = 4 << 30
#: At run time first: there, reading a file and using it are apart, and a picture is cheapest.
_MODES = ("at_runtime", *(mode for mode in MODES if mode != "at_runtime"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One file put to a library: a case whose answer is one of several pictures, equal to the byte.

    ``references`` maps the names that a recipe uses to shots: "without", "whole" and so on.
    """

    recipe: Recipe
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


def trials(base: Base, modes: Iterable[str], recipes: Iterable[Recipe], *, any_suffix: bool) -> list[Trial]:
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
            file = OddFile(base=base, recipe=recipe, any_suffix=any_suffix)
            # The whole is always needed: differences are told relative to its effect.
            needed = {"without", "whole", *recipe.accept, *recipe.quietly}
            found.append(
                Trial(
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
    healthy = seed(base)
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
        file = OddFile(base=base, recipe=_healthy(healthy, label, tensors), any_suffix=any_suffix)
        shots[label] = Shot(base=base, mode=mode, sequence=((Use(file=file),),))
    return shots


def _healthy(healthy: Seed, label: str, tensors: Tensors) -> Recipe:
    return Recipe(
        name=f"healthy-{label}",
        container="safetensors",
        why="for comparison",
        content=lambda: safetensors.whole(healthy.safetensors(tensors)),
        accept=frozenset(),
        quietly=frozenset({label}),
    )


def judge_broken(
    trial: Trial, observed: Mapping[str, Observation], pictures: Mapping[str, Pixels]
) -> Finding:
    """Return the verdict on a trial from the observations of its shots (by name) and the pictures (by hash).

    PASS stands for each of the wanted outcomes, and the evidence says which. NO_EFFECT is a right picture without
    the warning that belongs to it, or a good file left aside; WRONG is any other picture; REFUSED is the refusal of
    a good file.
    """
    recipe, own = trial.recipe, observed[trial.shot.name]
    right = recipe.accept | recipe.quietly
    if own.outcome != "picture":
        verdict, evidence = oracle.failure(own)
        if verdict is Verdict.REFUSED and "without" in right:
            return Finding(verdict=Verdict.PASS, evidence=f"refused: {evidence}")
        return Finding(verdict=verdict, evidence=evidence)
    shown: dict[str, Pixels] = {}
    for label, shot in trial.references.items():
        name = observed[shot.name].picture
        if name is None:
            _, evidence = oracle.failure(observed[shot.name])
            return Finding(verdict=Verdict.UNJUDGED, evidence=f"{shot.name}: {evidence}")
        shown[label] = pictures[name]
    assert own.picture is not None  # noqa: S101 - the outcome is a picture
    got = pictures[own.picture]
    effect = oracle.rms(shown["whole"], shown["without"])
    common = {
        "effect": effect,
        "error": oracle.rms(got, shown["without"]) / effect if effect else None,
        "pictures": {"without": observed[trial.without.name].picture or "", "got": own.picture},
    }
    same = [label for label, picture in shown.items() if label in right and np.array_equal(got, picture)]
    warned = own.complaints > observed[trial.without.name].complaints
    for label in same:
        if warned or label in recipe.quietly:
            word = "with a warning" if warned else "without a word, as it may be"
            return Finding(verdict=Verdict.PASS, evidence=f"the picture {_NAMES[label]}, {word}", **common)  # type: ignore[arg-type]
    if same:
        evidence = f"the picture {_NAMES[same[0]]}, and no warning"
        return Finding(verdict=Verdict.NO_EFFECT, evidence=evidence, **common)  # type: ignore[arg-type]
    # A good file that is left aside has no effect; it does not have a wrong one.
    ignored = np.array_equal(got, shown["without"])
    verdict = Verdict.NO_EFFECT if ignored else Verdict.WRONG
    return Finding(verdict=verdict, evidence=_describe(got, shown), **common)  # type: ignore[arg-type]


_NAMES = {
    "without": "without the adapter",
    "whole": "of the healthy file",
    "first": "of the first pair alone",
    "second": "of the second pair alone",
    "f32": "of the numbers in 32 bits",
    "bf16": "of the numbers as bfloat16",
    "negated": "of the pair with its sign turned",
}


def _describe(got: Pixels, shown: Mapping[str, Pixels]) -> str:
    """Say what kind of wrong picture it is."""
    for label, picture in shown.items():
        if np.array_equal(got, picture):
            return f"the picture {_NAMES[label]}"
    if got.min() == got.max():
        return f"a picture of one colour, {int(got.min())}: not a number"
    differences = {label: oracle.rms(got, picture) for label, picture in shown.items()}
    return "; ".join(
        f"{value:.1f} grey levels from that {_NAMES[label]}" for label, value in differences.items()
    )
