from __future__ import annotations

import numpy as np
import pytest

from harness import oracle
from harness.base import Calibration
from harness.case import Case, Shot, Tolerance
from harness.record import Observation, Pixels
from harness.verdict import Verdict
from sdcpp.errors import FixtureInvalid
from tests.unit.small import BASE

GREY: Pixels = np.full((8, 8, 3), 100, np.uint8)
BRIGHT: Pixels = np.full((8, 8, 3), 140, np.uint8)
SHOTS = {name: Shot(base=BASE, mode=name) for name in ("got", "without", "wanted", "twin")}


def case(**more: Shot) -> Case:
    return Case(
        name="case",
        shot=SHOTS["got"],
        without=SHOTS["without"],
        wanted=SHOTS["wanted"],
        tolerance=Tolerance(bound=0.05, why="test"),
        dimensions={"mode": "got"},
        **more,
    )


def judge(case: Case, **seen: Pixels | Observation) -> oracle.Finding:
    observed, pictures = {}, {}
    for name, what in {"without": GREY, "wanted": BRIGHT, **seen}.items():
        shot = SHOTS[name].name
        if isinstance(what, Observation):
            observed[shot] = what
        else:
            pictures[name] = what
            observed[shot] = Observation(
                build="b", shot=shot, outcome="picture", picture=name, log=("can not find it",)
            )
    return oracle.judge(case, observed, pictures)


def failed(outcome: str, **more: str) -> Observation:
    return Observation(build="b", shot="x", outcome=outcome, **more)  # type: ignore[arg-type]


def test_effect_error_is_one_for_a_missing_adapter_and_zero_for_a_perfect_one() -> None:
    assert oracle.effect_error(GREY, BRIGHT, GREY) == 1.0
    assert oracle.effect_error(BRIGHT, BRIGHT, GREY) == 0.0
    assert oracle.rms(GREY, BRIGHT) == 40.0


def test_the_wanted_picture_passes() -> None:
    finding = judge(case(), got=BRIGHT)
    assert finding.verdict is Verdict.PASS
    assert finding.effect == 40.0
    assert finding.error == 0.0
    assert set(finding.pictures) == {"without", "wanted", "got"}


def test_an_ignored_adapter_has_no_effect_and_the_library_is_quoted() -> None:
    finding = judge(case(), got=GREY)
    assert finding.verdict is Verdict.NO_EFFECT
    assert finding.evidence == "can not find it"


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
    finding = judge(case(equal=SHOTS["twin"]), got=BRIGHT, twin=almost)
    assert finding.verdict is Verdict.WRONG
    assert "byte for byte" in finding.evidence


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        ("crashed", Verdict.ABORT),
        ("hung", Verdict.TIMEOUT),
        ("refused", Verdict.REFUSED),
        ("misdirected", Verdict.MISDIRECTED),
        ("failed", Verdict.UNJUDGED),
    ],
)
def test_no_picture(outcome: str, verdict: Verdict) -> None:
    finding = judge(case(), got=failed(outcome, text="GGML_ASSERT(x) failed", signal="SIGABRT"))
    assert finding.verdict is verdict
    assert "GGML_ASSERT" in finding.evidence


def test_a_reference_that_could_not_be_made_leaves_the_case_unjudged() -> None:
    finding = judge(case(), got=BRIGHT, wanted=failed("crashed", signal="SIGSEGV", text="dead"))
    assert finding.verdict is Verdict.UNJUDGED
    assert "SIGSEGV" in finding.evidence


def test_loss_is_measured_against_the_float_adapter() -> None:
    source = np.full_like(GREY, 150)
    finding = judge(case(source=SHOTS["twin"]), got=BRIGHT, twin=source)
    assert finding.verdict is Verdict.PASS
    assert finding.loss == pytest.approx(10 / 50)


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
    assert BASE.calibration == Calibration()
    oracle.check_calibration(BASE, GREY, BRIGHT)
    with pytest.raises(FixtureInvalid, match=complaint):
        oracle.check_calibration(BASE, without, wanted)
