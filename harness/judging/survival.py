"""Judge what a library does with a malformed file."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.cases.malformed_file_case import MalformedFileCase
from harness.judging import oracle
from harness.judging.oracle import Comparison
from harness.records.record import Observation, Pixels
from harness.records.verdict import Verdict


def judge_malformed_file(
    trial: MalformedFileCase, observed: Mapping[str, Observation], pictures: Mapping[str, Pixels]
) -> Comparison:
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
            return Comparison(verdict=Verdict.PASS, evidence=f"refused: {evidence}")
        return Comparison(verdict=verdict, evidence=evidence)
    shown: dict[str, Pixels] = {}
    for label, shot in trial.references.items():
        name = observed[shot.name].picture
        if name is None:
            _, evidence = oracle.failure(observed[shot.name])
            return Comparison(verdict=Verdict.UNJUDGED, evidence=f"{shot.name}: {evidence}")
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
            return Comparison(verdict=Verdict.PASS, evidence=f"the picture {_NAMES[label]}, {word}", **common)  # type: ignore[arg-type]
    if same:
        evidence = f"the picture {_NAMES[same[0]]}, and no warning"
        return Comparison(verdict=Verdict.NO_EFFECT, evidence=evidence, **common)  # type: ignore[arg-type]
    # A good file that is left aside has no effect; it does not have a wrong one.
    ignored = np.array_equal(got, shown["without"])
    verdict = Verdict.NO_EFFECT if ignored else Verdict.WRONG
    return Comparison(verdict=verdict, evidence=_describe(got, shown), **common)  # type: ignore[arg-type]


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
