from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.cases.case import Case, RecordedPicture, Shot, Tolerance
from harness.cases.dimensions import FLOAT_TOLERANCE
from harness.judging import oracle
from harness.models.base_model import Calibration
from harness.records.pictures import Pixels
from harness.records.record import Observation
from harness.records.verdict import Verdict
from sdcpp.errors import FixtureInvalid
from tests.unit.fake_models import BASE

GREY: Pixels = np.full((8, 8, 3), 100, np.uint8)
BRIGHT: Pixels = np.full((8, 8, 3), 140, np.uint8)
SHOTS = {name: Shot(base=BASE, mode=name) for name in ("got", "without", "wanted", "twin")}


def case(**more: Any) -> Case:
    return Case(
        name="case",
        shot=SHOTS["got"],
        without=SHOTS["without"],
        wanted=SHOTS["wanted"],
        tolerance=Tolerance(bound=0.05, why="test"),
        dimensions={"mode": "got"},
        **more,
    )


def judge(case: Case, backend: str = "cpu", **seen: Pixels | Observation) -> oracle.Comparison:
    observed, pictures = {}, {}
    for name, what in {"without": GREY, "wanted": BRIGHT, **seen}.items():
        shot = SHOTS[name].name
        if isinstance(what, Observation):
            observed[shot] = what
        else:
            pictures[name] = what
            observed[shot] = Observation(
                build="b",
                shot=shot,
                outcome="picture",
                picture=name,
                backend=backend,
                log=("can not find it",),
            )
    return oracle.judge(case, observed, pictures)


def failed(outcome: str, **more: str) -> Observation:
    return Observation(build="b", shot="x", outcome=outcome, **more)  # type: ignore[arg-type]


def test_effect_error_is_one_for_a_missing_adapter_and_zero_for_a_perfect_one() -> None:
    assert oracle.effect_error(GREY, BRIGHT, GREY) == 1.0
    assert oracle.effect_error(BRIGHT, BRIGHT, GREY) == 0.0
    assert oracle.rms(GREY, BRIGHT) == 40.0


def test_the_wanted_picture_passes() -> None:
    comparison = judge(case(), got=BRIGHT)
    assert comparison.verdict is Verdict.PASS
    assert comparison.effect == 40.0
    assert comparison.error == 0.0
    assert set(comparison.pictures) == {"without", "wanted", "got"}


def test_an_ignored_adapter_has_no_effect_and_the_library_is_quoted() -> None:
    comparison = judge(case(), got=GREY)
    assert comparison.verdict is Verdict.NO_EFFECT
    assert comparison.evidence == "can not find it"


@pytest.mark.parametrize("grey", [120, 137, 143, 180])
def test_another_picture_is_wrong(grey: int) -> None:
    assert judge(case(), got=np.full_like(GREY, grey)).verdict is Verdict.WRONG


@pytest.mark.parametrize("grey", [139, 141])
def test_a_difference_within_tolerance_passes(grey: int) -> None:
    assert judge(case(), got=np.full_like(GREY, grey)).verdict is Verdict.PASS


def test_a_twin_must_be_equal_to_the_byte() -> None:
    almost = BRIGHT.copy()
    almost[0, 0, 0] += 1
    assert judge(case(equal=SHOTS["twin"]), got=BRIGHT, twin=BRIGHT).verdict is Verdict.PASS
    comparison = judge(case(equal=SHOTS["twin"]), got=BRIGHT, twin=almost)
    assert comparison.verdict is Verdict.WRONG
    assert "byte for byte" in comparison.evidence


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        ("crashed", Verdict.ABORT),
        ("hung", Verdict.TIMEOUT),
        ("refused", Verdict.REFUSED),
        ("misdirected", Verdict.MISDIRECTED),
        ("spoiled", Verdict.WRONG),
        ("failed", Verdict.UNJUDGED),
    ],
)
def test_an_outcome_without_a_picture_has_its_own_verdict(outcome: str, verdict: Verdict) -> None:
    comparison = judge(case(), got=failed(outcome, text="GGML_ASSERT(x) failed", signal="SIGABRT"))
    assert comparison.verdict is verdict
    assert "GGML_ASSERT" in comparison.evidence


def test_a_reference_that_could_not_be_made_leaves_the_case_unjudged() -> None:
    comparison = judge(case(), got=BRIGHT, wanted=failed("crashed", signal="SIGSEGV", text="dead"))
    assert comparison.verdict is Verdict.UNJUDGED
    assert "SIGSEGV" in comparison.evidence
    assert set(comparison.pictures) == {"without", "got"}, "the picture that was made is kept"


def test_loss_is_measured_against_the_float_adapter() -> None:
    source = np.full_like(GREY, 150)
    comparison = judge(case(source=SHOTS["twin"]), got=BRIGHT, twin=source)
    assert comparison.verdict is Verdict.PASS
    assert comparison.loss == pytest.approx(10 / 50)


@pytest.mark.parametrize(
    ("without", "wanted", "complaint"),
    [
        (np.full_like(GREY, 20), BRIGHT, "brightness"),
        (np.where(np.arange(192).reshape(8, 8, 3) < 20, 0, GREY).astype(np.uint8), BRIGHT, "clipped"),
        (GREY, np.full_like(GREY, 105), "grey levels"),
    ],
)
def test_a_model_that_cannot_carry_a_comparison_is_refused(
    without: Pixels, wanted: Pixels, complaint: str
) -> None:
    oracle.check_calibration(BASE, GREY, BRIGHT)
    with pytest.raises(FixtureInvalid, match=complaint):
        oracle.check_calibration(BASE, without, wanted)


def smooth(draw: np.random.Generator) -> NDArray[np.float64]:
    """Return a picture's worth of noise as smooth as what a decoder paints, of RMS 1."""
    coarse = draw.standard_normal((8, 8, 3)).repeat(8, 0).repeat(8, 1)
    for axis in (0, 1):
        coarse = sum(np.roll(coarse, shift, axis) for shift in range(8)) / 8  # type: ignore[assignment]
    return coarse / float(np.sqrt(np.mean(coarse**2)))


def with_rounding(error: float, effect: float) -> float:
    """Return what an effect error is measured as in pictures of 8 bits; ``effect`` in grey levels RMS."""
    return float(np.hypot(error, oracle.ROUNDING_RMS / effect))


def rounded(picture: NDArray[np.float64]) -> Pixels:
    return np.rint(picture).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("effect", [16.7, 22.3, 27.0, 34.0])
@pytest.mark.parametrize("kind", ["noise", "smooth", "too strong", "too weak"])
def test_rounding_moves_an_error_at_the_bound_by_less_than_a_tenth_of_it(effect: float, kind: str) -> None:
    """A simulation: pictures with fractions, whose error is known, and what is measured once they are rounded."""
    draw = np.random.default_rng(5)
    true = oracle.widened(FLOAT_TOLERANCE, effect).bound
    ratios = []
    for _ in range(8):
        without = 128 + 20 * smooth(draw)
        wanted = without + effect * smooth(draw)
        error = {
            "noise": draw.standard_normal(wanted.shape),
            "smooth": smooth(draw),
            "too strong": (wanted - without) / effect,
            "too weak": (without - wanted) / effect,
        }[kind]
        got = wanted + true * effect * error / float(np.sqrt(np.mean(error**2)))
        ratios.append(oracle.effect_error(*map(rounded, (got, wanted, without))) / true)
    assert 1 < np.mean(ratios) < 1 + oracle.MAX_ROUNDING_SHIFT + 0.01  # of the sample
    assert np.mean(ratios) == pytest.approx(with_rounding(true, effect) / true, abs=0.015)


def test_what_the_documents_say_of_rounding() -> None:
    assert with_rounding(0, 27) == pytest.approx(0.015, abs=5e-4)
    assert with_rounding(0.04, 27) == pytest.approx(0.0428, abs=5e-5)
    assert oracle.widened(FLOAT_TOLERANCE, 27).bound == FLOAT_TOLERANCE.bound == 0.04
    assert oracle.widened(FLOAT_TOLERANCE, 22.3).bound == pytest.approx(0.04, abs=1e-4)
    assert with_rounding(0.04, 22.3) == pytest.approx(0.044, abs=1e-4)
    assert oracle.widened(FLOAT_TOLERANCE, 16.7).bound == pytest.approx(0.053, abs=5e-4)
    assert oracle.widened(FLOAT_TOLERANCE, Calibration().effect).bound == pytest.approx(0.111, abs=5e-4)


def test_a_weak_effect_widens_the_bound_and_a_missing_adapter_is_still_found() -> None:
    faint = np.full_like(GREY, 110)
    close, off = np.full_like(GREY, 109), np.full_like(GREY, 107)
    found = judge(case(), wanted=faint, got=close)
    assert found.error == pytest.approx(0.1)
    assert found.tolerance
    assert found.tolerance.bound == pytest.approx(0.089, abs=5e-4)
    assert found.verdict is Verdict.WRONG
    assert judge(case(), wanted=faint, got=off).verdict is Verdict.WRONG
    assert judge(case(), wanted=np.full_like(GREY, 112), got=np.full_like(GREY, 111)).verdict is Verdict.WRONG
    strong = judge(case(), wanted=np.full_like(GREY, 118), got=np.full_like(GREY, 117))
    assert strong.tolerance == case().tolerance
    assert judge(case(), wanted=faint, got=GREY).verdict is Verdict.NO_EFFECT


def test_a_backend_that_calculates_in_half_precision_gets_a_wider_bound() -> None:
    close, off = np.full_like(GREY, 136), np.full_like(GREY, 135)  # 0.1 and 0.125 of the effect too little
    found = [judge(case(), backend, got=got) for backend in ("cpu", "vulkan") for got in (close, off)]
    assert [one.verdict for one in found] == [Verdict.WRONG, Verdict.WRONG, Verdict.PASS, Verdict.WRONG]
    assert found[2].tolerance
    assert found[2].tolerance.bound == 0.12
    assert "widened from 0.05: ggml's Vulkan backend" in found[2].tolerance.why


@pytest.mark.parametrize("grey", [100, 101, 107])
def test_an_adapter_that_changes_too_little_is_not_judged(grey: int) -> None:
    found = judge(case(), wanted=np.full_like(GREY, grey), got=GREY)
    assert found.verdict is Verdict.UNJUDGED
    assert f"by {grey - 100}.0 grey levels" in found.evidence


def without_shot(**more: Any) -> Case:
    return replace(case(), wanted=None, **more)


def test_a_recorded_picture_is_the_wanted_one() -> None:
    recorded = RecordedPicture(digest="wanted", pixels=BRIGHT)
    found = judge(without_shot(recorded=recorded), got=GREY)
    assert (found.verdict, found.error) == (Verdict.NO_EFFECT, 1.0)
    assert found.pictures["wanted"] == "wanted"
    darker: Pixels = np.full((8, 8, 3), 130, np.uint8)
    found = judge(without_shot(recorded=recorded), got=darker)
    assert (found.verdict, found.error) == (Verdict.WRONG, 0.25)
    assert judge(without_shot(recorded=recorded), got=BRIGHT).verdict is Verdict.PASS
    small = RecordedPicture(digest="wanted", pixels=BRIGHT[:4])
    found = judge(without_shot(recorded=small), got=BRIGHT)
    assert (found.verdict, found.evidence.rpartition(": ")[2]) == (
        Verdict.UNJUDGED,
        "4x8x3 and 8x8x3",
    )


def test_of_a_recorded_digest_the_same_pixels_pass_unless_the_adapter_changes_nothing() -> None:
    recorded = RecordedPicture(digest="got")
    assert judge(without_shot(recorded=recorded), got=BRIGHT).verdict is Verdict.PASS
    found = judge(without_shot(recorded=replace(recorded, digest="another")), got=BRIGHT)
    assert (found.verdict, found.evidence) == (Verdict.WRONG, "the picture has the SHA-256 got, not another")
    unchanged = replace(
        case(), shot=SHOTS["without"], wanted=None, recorded=RecordedPicture(digest="without")
    )
    assert judge(unchanged).verdict is Verdict.NO_EFFECT


def test_without_a_wanted_picture_only_an_ignored_adapter_is_certain() -> None:
    found = judge(without_shot(no_wanted="it cannot be merged"), got=BRIGHT)
    assert found.verdict is Verdict.UNJUDGED
    assert found.evidence.endswith("none to compare it with: it cannot be merged")
    unchanged = replace(case(), shot=SHOTS["without"], wanted=None, no_wanted="it cannot be merged")
    assert judge(unchanged).verdict is Verdict.NO_EFFECT
    crashed = judge(without_shot(no_wanted="it cannot be merged"), got=failed("crashed", text="boom"))
    assert crashed.verdict is Verdict.ABORT
