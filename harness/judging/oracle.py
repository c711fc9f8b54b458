"""How pictures are compared, and what that says of a case.

Pictures have 8 bits. Rounding two of them is noise of sqrt(1/12 + 1/12) = 0.41 grey levels RMS, whatever is painted
(B. Widrow and I. Kollár, Quantization Noise, 2008): with an adapter that changes a picture by 27 grey levels, as
most do, no effect error below 1.5 % can be told from none. The noise does not depend on a real error and so adds to
it in quadrature: 4 %, the tolerance of a float adapter, are measured as 4.28 %, or 7 % more. That shift stays within a
tenth of every bound: where an adapter changes the picture by less than 22 grey levels, the bound is widened
(``allowed``). On the average rounding makes a verdict stricter, not milder.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from harness.cases.case import Case, Shot, Tolerance
from harness.models.base_model import Base
from harness.records.record import Observation, Pixels
from harness.records.verdict import Verdict
from sdcpp.errors import FixtureInvalid

#: An effect below this share of the wanted one counts as none.
NO_EFFECT = 0.05
#: What rounding makes two pictures differ by, in grey levels RMS.
ROUNDING = math.sqrt(1 / 6)
#: By how much of itself rounding may move an error that lies at the bound.
SHIFT = 0.1
#: What backends need that calculate less exactly than the CPU, whatever the adapter.
INEXACT = {
    "vulkan": Tolerance(
        bound=0.12, why="ggml's Vulkan backend calculates in F16; measured to 11 %, and to 4 % without that"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What the oracles say of a case; the numbers are explained at ``record.Cell``."""

    verdict: Verdict
    evidence: str = ""
    effect: float | None = None
    error: float | None = None
    loss: float | None = None
    tolerance: Tolerance | None = None
    pictures: Mapping[str, str] = field(default_factory=dict)


def measured(error: float, effect: float) -> float:
    """Return what an effect error is measured as in 8-bit pictures; ``effect`` in grey levels RMS."""
    return math.hypot(error, ROUNDING / effect)


def allowed(tolerance: Tolerance, effect: float, backend: str = "cpu") -> Tolerance:
    """Return what bounds the effect error of an adapter that changes the picture by ``effect`` grey levels RMS.

    It is the tolerance, or the backend's own, or the least of which ``measured`` moves an error by no more than
    ``SHIFT`` of it: the widest of them.
    """
    wider = f"{tolerance.why}; widened from {tolerance.bound:g}: "
    inexact = INEXACT.get(backend, tolerance)
    weak = Tolerance(
        bound=ROUNDING / effect / math.sqrt((1 + SHIFT) ** 2 - 1),
        why=f"{wider}the adapter changes the picture by {effect:.0f} grey levels only",
    )
    if inexact is not tolerance:
        inexact = replace(inexact, why=f"{wider}{inexact.why}")
    return max(tolerance, inexact, weak, key=lambda one: one.bound)


def rms(a: Pixels, b: Pixels) -> float:
    """Return the root mean square difference of two pictures in grey levels."""
    return float(np.sqrt(np.mean((_f(a) - _f(b)) ** 2)))


def effect_error(got: Pixels, wanted: Pixels, without: Pixels) -> float:
    """Return ||got - wanted|| / ||wanted - without||: 0 for a perfect adapter, 1 for one that is missing."""
    return float(np.linalg.norm(_f(got) - _f(wanted)) / np.linalg.norm(_f(wanted) - _f(without)))


def _f(pixels: Pixels) -> NDArray[np.float64]:
    return pixels.astype(np.float64)


_FAILURES = {
    "crashed": Verdict.ABORT,
    "hung": Verdict.TIMEOUT,
    "refused": Verdict.REFUSED,
    "misdirected": Verdict.MISDIRECTED,
    "failed": Verdict.UNJUDGED,
}


def failure(observation: Observation) -> tuple[Verdict, str]:
    """Return what an observation without a picture means, and the words that say so."""
    return _FAILURES[observation.outcome], _quote(observation)


def judge(case: Case, observed: Mapping[str, Observation], pictures: Mapping[str, Pixels]) -> Comparison:
    """Return the verdict on a case from the observations of its shots (by name) and the pictures (by hash)."""
    own = observed[case.shot.name]
    labels = {"without": case.without, "wanted": case.wanted or case.equal, "got": case.shot}
    made = {label: observed[shot.name].picture for label, shot in labels.items() if shot}
    hashes = {label: name for label, name in made.items() if name}
    if own.outcome != "picture":
        return Comparison(verdict=_FAILURES[own.outcome], evidence=_quote(own), pictures=hashes)
    for label, name in made.items():
        shot = labels[label]
        if name is None and shot is not None:
            return Comparison(
                verdict=Verdict.UNJUDGED, evidence=f"{shot.name}: {_quote(observed[shot.name])}"
            )

    def pixels(shot: Shot) -> Pixels | None:
        name = observed[shot.name].picture
        return pictures[name] if name else None

    got, without = pictures[hashes["got"]], pictures[hashes["without"]]
    twin = pixels(case.equal) if case.equal else None
    if case.wanted is None or case.tolerance is None:
        # Nothing is wanted but sameness.
        same = twin is not None and bool(np.array_equal(got, twin))
        return Comparison(
            verdict=Verdict.PASS if same else Verdict.WRONG,
            evidence="" if same else f"differs from {case.equal.name if case.equal else 'nothing'}",
            pictures=hashes,
        )
    wanted = pictures[hashes["wanted"]]
    full = pixels(case.scale) if case.scale else wanted
    if full is None:
        return Comparison(
            verdict=Verdict.UNJUDGED, evidence="the picture that errors are relative to is missing"
        )
    effect, least = rms(full, without), case.shot.base.calibration.effect
    if effect < least:
        weak = f"the adapter changes the picture by {effect:.1f} grey levels, and pixels carry no less than {least:g}"
        return Comparison(verdict=Verdict.UNJUDGED, evidence=weak, effect=effect, pictures=hashes)
    error, tolerance = rms(got, wanted) / effect, allowed(case.tolerance, effect, own.backend)
    source = pixels(case.source) if case.source else None
    loss = effect_error(got, source, without) if source is not None else None
    if not case.scale and rms(got, without) < NO_EFFECT * effect:
        verdict, evidence = Verdict.NO_EFFECT, _complaint(own)
    elif error > tolerance.bound:
        verdict, evidence = Verdict.WRONG, _complaint(own)
    elif twin is not None and not np.array_equal(got, twin) and case.equal is not None:
        verdict, evidence = Verdict.WRONG, f"not byte for byte the picture of {case.equal.name}"
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


def _quote(observation: Observation) -> str:
    if observation.text:
        return observation.text if not observation.signal else f"{observation.signal}: {observation.text}"
    return observation.outcome


def _complaint(observation: Observation) -> str:
    """Return the log lines in which the library speaks of a LoRA it could not use, else the first ones."""
    telling = [
        line for line in observation.log if "can not find" in line or "Only (" in line or "failed" in line
    ]
    return "\n".join(dict.fromkeys((telling or list(observation.log))[:3]))


def check_calibration(base: Base, without: Pixels, wanted: Pixels) -> None:
    """Raise FixtureInvalid unless pictures of a base model can carry a comparison; see ``base.Calibration``."""
    bounds = base.calibration
    mean = float(without.mean())
    clipped = float(np.mean((without == 0) | (without == 255)))
    effect = rms(wanted, without)
    complaints = []
    if not bounds.brightness[0] <= mean <= bounds.brightness[1]:
        complaints.append(f"mean brightness {mean:.0f} is outside {bounds.brightness}")
    if clipped > bounds.clipped:
        complaints.append(f"{clipped:.1%} of the values are clipped, more than {bounds.clipped:.0%}")
    if effect < bounds.effect:
        complaints.append(f"the adapter changes it by {effect:.1f} grey levels, less than {bounds.effect}")
    if complaints:
        raise FixtureInvalid(
            "; ".join(complaints),
            base.name,
            "adjust contrast and brightness of the model in harness/models/tiny_models.py",
        )
