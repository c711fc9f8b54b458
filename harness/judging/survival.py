"""Judge the cases of malformed and unusual files."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.cases.malformed_file_case import MalformedFileCase
from harness.judging import oracle
from harness.judging.oracle import Comparison
from harness.records.pictures import Pixels
from harness.records.record import Observation
from harness.records.verdict import Verdict


def judge_malformed_file(
    case: MalformedFileCase, observed: Mapping[str, Observation], pictures: Mapping[str, Pixels]
) -> Comparison:
    """Return the verdict on a case of a malformed or unusual file.

    ``observed`` has the observations of the case's shots by name, ``pictures`` has the pictures by hash.

    - PASS: one of the outcomes that the recipe accepts; the evidence says which.
    - NO_EFFECT: an accepted picture without the warning that it needs, or a valid file that was ignored.
    - REFUSED: the library refused a valid file.
    - WRONG: any other picture.
    """
    recipe, own = case.recipe, observed[case.shot.name]
    accepted = recipe.accept | recipe.quietly
    if own.outcome != "picture":
        verdict, evidence = oracle.verdict_without_picture(own)
        if verdict is Verdict.REFUSED and "without" in accepted:
            return Comparison(verdict=Verdict.PASS, evidence=f"refused: {evidence}")
        return Comparison(verdict=verdict, evidence=evidence)
    references: dict[str, Pixels] = {}
    for label, shot in case.references.items():
        digest = observed[shot.name].picture
        if digest is None:
            _, evidence = oracle.verdict_without_picture(observed[shot.name])
            return Comparison(
                verdict=Verdict.UNJUDGED,
                evidence=f"{shot.name}: {evidence}",
                pictures={"got": own.picture or ""},
            )
        references[label] = pictures[digest]
    assert own.picture is not None  # noqa: S101 - the outcome is a picture
    got = pictures[own.picture]
    effect = oracle.rms(references["whole"], references["without"])
    common = {
        "effect": effect,
        "error": oracle.rms(got, references["without"]) / effect if effect else None,
        "pictures": {"without": observed[case.without.name].picture or "", "got": own.picture},
    }
    equal = [
        label for label, picture in references.items() if label in accepted and np.array_equal(got, picture)
    ]
    warned = own.complaints > observed[case.without.name].complaints
    for label in equal:
        if warned or label in recipe.quietly:
            warning = "with a warning" if warned else "without a warning, which is allowed"
            evidence = f"the picture {_PICTURES[label]}, {warning}"
            return Comparison(verdict=Verdict.PASS, evidence=evidence, **common)  # type: ignore[arg-type]
    if equal:
        evidence = f"the picture {_PICTURES[equal[0]]}, without the warning that it needs"
        return Comparison(verdict=Verdict.NO_EFFECT, evidence=evidence, **common)  # type: ignore[arg-type]
    # A valid file that was ignored has no effect; its picture is not called wrong.
    ignored = np.array_equal(got, references["without"])
    verdict = Verdict.NO_EFFECT if ignored else Verdict.WRONG
    return Comparison(verdict=verdict, evidence=_describe(got, references), **common)  # type: ignore[arg-type]


#: What the picture of each reference shows, after "the picture".
_PICTURES = {
    "without": "without the adapter",
    "whole": "of the valid file",
    "first": "of the first pair alone",
    "second": "of the second pair alone",
    "f32": "of the values in 32 bits",
    "bf16": "of the values as bfloat16",
    "negated": "of the first pair with its sign changed",
}


def _describe(got: Pixels, references: Mapping[str, Pixels]) -> str:
    """Return which reference a picture equals, or else how far it is from each."""
    for label, picture in references.items():
        if np.array_equal(got, picture):
            return f"the picture {_PICTURES[label]}"
    if got.min() == got.max():
        return f"a picture of one colour, grey level {int(got.min())}, as NaN gives it"
    distances = {label: oracle.rms(got, picture) for label, picture in references.items()}
    return "; ".join(
        f"{distance:.1f} grey levels from the picture {_PICTURES[label]}"
        for label, distance in distances.items()
    )
