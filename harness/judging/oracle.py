"""Compare the pictures of a case and derive its verdict.

Pictures have 8 bits per channel. Rounding two pictures adds noise of sqrt(1/12 + 1/12) = 0.41 grey levels RMS to
their difference, whatever the pictures show (B. Widrow and I. Kollár, Quantization Noise, 2008). Most adapters change
a picture by about 27 grey levels, so an effect error below 1.5 % cannot be told from zero. The noise is independent
of a real error and adds to it in quadrature: an error of 4 %, the tolerance of a float adapter, is measured as 4.28
%, which is 7 % more. ``widened`` keeps this shift below a tenth of every bound: for an adapter that changes the
picture by less than 22 grey levels it returns a larger bound. On average, rounding makes verdicts stricter, not
milder.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from harness.cases.case import Case, Shot, Tolerance
from harness.models.base_model import Base
from harness.records.pictures import Pixels
from harness.records.record import Observation
from harness.records.verdict import Verdict
from sdcpp.errors import FixtureInvalid

#: An adapter has no effect if it changes the picture by less than this share of the wanted effect.
NO_EFFECT = 0.05
#: The difference of two pictures that rounding to 8 bits causes, in grey levels RMS.
ROUNDING_RMS = math.sqrt(1 / 6)
#: A change of the picture by less than this could come from rounding alone, in grey levels RMS.
VISIBLE = 1.0
#: The largest relative amount by which rounding may increase an error at the bound.
MAX_ROUNDING_SHIFT = 0.1
#: The tolerances of backends that compute less exactly than the CPU, for any adapter.
BACKEND_TOLERANCES = {
    "vulkan": Tolerance(
        bound=0.12,
        why="ggml's Vulkan backend computes in F16; errors of up to 11 % were measured, and of up to 4 % with F32",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The verdict on a case and the numbers behind it, which ``record.Cell`` explains."""

    verdict: Verdict
    evidence: str = ""
    effect: float | None = None
    error: float | None = None
    loss: float | None = None
    tolerance: Tolerance | None = None
    pictures: Mapping[str, str] = field(default_factory=dict)


def widened(tolerance: Tolerance, effect: float, backend: str = "cpu") -> Tolerance:
    """Return the tolerance for an adapter that changes the picture by ``effect`` grey levels RMS on a backend.

    It is the largest of three: the given tolerance, that of the backend, and the smallest one at which rounding
    increases the measured error by no more than ``MAX_ROUNDING_SHIFT``.
    """
    reason = f"{tolerance.why}; widened from {tolerance.bound:g}: "
    for_backend = BACKEND_TOLERANCES.get(backend, tolerance)
    if for_backend is not tolerance:
        for_backend = replace(for_backend, why=f"{reason}{for_backend.why}")
    for_rounding = Tolerance(
        bound=ROUNDING_RMS / effect / math.sqrt((1 + MAX_ROUNDING_SHIFT) ** 2 - 1),
        why=f"{reason}the adapter changes the picture by {effect:.0f} grey levels only",
    )
    return max(tolerance, for_backend, for_rounding, key=lambda candidate: candidate.bound)


def rms(a: Pixels, b: Pixels) -> float:
    """Return the root mean square difference of two pictures in grey levels."""
    return float(np.sqrt(np.mean((_floats(a) - _floats(b)) ** 2)))


def effect_error(got: Pixels, wanted: Pixels, without: Pixels) -> float:
    """Return ||got - wanted|| / ||wanted - without||: 0 if the adapter is applied exactly, 1 if it is ignored."""
    return float(
        np.linalg.norm(_floats(got) - _floats(wanted)) / np.linalg.norm(_floats(wanted) - _floats(without))
    )


def _floats(pixels: Pixels) -> NDArray[np.float64]:
    return pixels.astype(np.float64)


#: The verdict on an outcome (see ``record.Observation``) without a picture.
_VERDICTS = {
    "crashed": Verdict.ABORT,
    "hung": Verdict.TIMEOUT,
    "refused": Verdict.REFUSED,
    "misdirected": Verdict.MISDIRECTED,
    "spoiled": Verdict.WRONG,
    "failed": Verdict.UNJUDGED,
}


def verdict_without_picture(observation: Observation) -> tuple[Verdict, str]:
    """Return the verdict on an observation without a picture, and the evidence for it."""
    return _VERDICTS[observation.outcome], _quote(observation)


def judge(case: Case, observed: Mapping[str, Observation], pictures: Mapping[str, Pixels]) -> Comparison:
    """Return the verdict on a case and its numbers.

    ``observed`` has the observations of the case's shots by name, ``pictures`` has the pictures by hash.
    """
    own = observed[case.shot.name]
    labels = {"without": case.without, "wanted": case.wanted or case.equal, "got": case.shot}
    made = {label: observed[shot.name].picture for label, shot in labels.items() if shot}
    hashes = {label: digest for label, digest in made.items() if digest}
    if own.outcome != "picture":
        return Comparison(verdict=_VERDICTS[own.outcome], evidence=_quote(own), pictures=hashes)
    for label, digest in made.items():
        shot = labels[label]
        if digest is None and shot is not None:
            return Comparison(
                verdict=Verdict.UNJUDGED,
                evidence=f"{shot.name}: {_quote(observed[shot.name])}",
                pictures=hashes,
            )

    if case.no_wanted or case.recorded:
        if found := _without_wanted(case, own, hashes, pictures[hashes["got"]]):
            return found
        if case.recorded:
            hashes["wanted"] = case.recorded.digest
    return _compared(case, observed, pictures, hashes)


def _compared(
    case: Case,
    observed: Mapping[str, Observation],
    pictures: Mapping[str, Pixels],
    hashes: Mapping[str, str],
) -> Comparison:
    """Return the verdict on a case and its numbers; ``hashes`` has those of "got", "wanted" and "without"."""

    def pixels(shot: Shot) -> Pixels | None:
        digest = observed[shot.name].picture
        return pictures[digest] if digest else None

    own = observed[case.shot.name]
    got, without = pictures[hashes["got"]], pictures[hashes["without"]]
    equal = pixels(case.equal) if case.equal else None
    if not (case.wanted or case.recorded) or case.tolerance is None:
        # the pictures must be equal, and nothing else is compared
        same = equal is not None and bool(np.array_equal(got, equal))
        return Comparison(
            verdict=Verdict.PASS if same else Verdict.WRONG,
            evidence=""
            if same
            else f"the picture is not that of {case.equal.name if case.equal else 'any shot'}",
            pictures=hashes,
        )
    wanted = pictures[hashes["wanted"]]
    full = pixels(case.scale) if case.scale else wanted
    if full is None:
        return Comparison(
            verdict=Verdict.UNJUDGED,
            evidence="there is no picture to measure the adapter's effect with",
        )
    effect, least = rms(full, without), case.shot.base.calibration.effect
    if effect < least:
        own_model = not case.shot.base.calibration.required
        if own_model and effect >= VISIBLE and hashes["got"] == hashes["without"]:
            # An adapter that changes the picture too little for an effect error is still ignored if it changes nothing.
            return Comparison(
                verdict=Verdict.NO_EFFECT, evidence=_log_excerpt(own), effect=effect, pictures=hashes
            )
        weak = f"the adapter changes the picture by {effect:.1f} grey levels; judging it needs at least {least:g}"
        return Comparison(verdict=Verdict.UNJUDGED, evidence=weak, effect=effect, pictures=hashes)
    error, tolerance = rms(got, wanted) / effect, widened(case.tolerance, effect, own.backend)
    source = pixels(case.source) if case.source else None
    loss = effect_error(got, source, without) if source is not None else None
    if not case.scale and rms(got, without) < NO_EFFECT * effect:
        verdict, evidence = Verdict.NO_EFFECT, _log_excerpt(own)
    elif error > tolerance.bound:
        verdict, evidence = Verdict.WRONG, _log_excerpt(own)
    elif equal is not None and not np.array_equal(got, equal) and case.equal is not None:
        verdict, evidence = Verdict.WRONG, f"the picture is not byte for byte that of {case.equal.name}"
    else:
        verdict, evidence = Verdict.PASS, ""
    return Comparison(
        verdict=verdict,
        evidence=evidence,
        effect=effect,
        error=error,
        loss=loss,
        tolerance=tolerance,
        pictures=hashes,
    )


def _without_wanted(
    case: Case, own: Observation, hashes: Mapping[str, str], got: Pixels
) -> Comparison | None:
    """Return the verdict on a case whose wanted picture no shot makes, or None if the recorded one can be compared."""
    verdict = Verdict.UNJUDGED
    if (case.recorded is None or case.recorded.pixels is None) and hashes["got"] == hashes["without"]:
        verdict, evidence = Verdict.NO_EFFECT, _log_excerpt(own)
    elif case.recorded is None:
        evidence = f"the picture changes, but there is none to compare it with: {case.no_wanted}"
    elif case.recorded.pixels is None:
        same = hashes["got"] == case.recorded.digest
        verdict = Verdict.PASS if same else Verdict.WRONG
        evidence = "" if same else f"the picture has the SHA-256 {hashes['got']}, not {case.recorded.digest}"
    elif case.recorded.pixels.shape != got.shape:
        shapes = " and ".join("x".join(map(str, p.shape)) for p in (case.recorded.pixels, got))
        evidence = (
            f"the recorded picture and this one have different sizes (height, width, channels): {shapes}"
        )
    else:
        return None
    return Comparison(verdict=verdict, evidence=evidence, pictures=hashes)


def _quote(observation: Observation) -> str:
    if observation.text:
        return observation.text if not observation.signal else f"{observation.signal}: {observation.text}"
    return observation.outcome


def _log_excerpt(observation: Observation) -> str:
    """Return up to three log lines: those about a LoRA that the library could not use, or else the first ones."""
    about_loras = [
        line for line in observation.log if "can not find" in line or "Only (" in line or "failed" in line
    ]
    return "\n".join(dict.fromkeys((about_loras or list(observation.log))[:3]))


def check_calibration(base: Base, without: Pixels, wanted: Pixels) -> None:
    """Raise FixtureInvalid if pictures of a base model cannot be compared reliably (see ``base_model.Calibration``)."""
    bounds = base.calibration
    mean = float(without.mean())
    clipped = float(np.mean((without == 0) | (without == 255)))
    effect = rms(wanted, without)
    complaints = []
    if not bounds.brightness[0] <= mean <= bounds.brightness[1]:
        complaints.append(f"the mean brightness {mean:.0f} is outside {bounds.brightness}")
    if clipped > bounds.clipped:
        complaints.append(f"{clipped:.1%} of the values are clipped; the limit is {bounds.clipped:.0%}")
    if effect < bounds.effect:
        complaints.append(
            f"the adapter changes the picture by {effect:.1f} grey levels; at least {bounds.effect} are needed"
        )
    if complaints:
        raise FixtureInvalid(
            "; ".join(complaints),
            base.name,
            "adjust the contrast and brightness of the base model in harness/models/tiny_models.py",
        )
