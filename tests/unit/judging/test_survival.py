from __future__ import annotations

import numpy as np
import pytest

from harness.cases.malformed_file_case import MalformedFileCase
from harness.judging import oracle
from harness.judging.survival import judge_malformed_file
from harness.records.pictures import Pixels
from harness.records.record import Observation
from harness.records.verdict import Verdict
from tests.unit.fake_malformed_files import malformed_case

pytestmark = pytest.mark.usefixtures("cache_folder")

SHADES = {"without": 100, "whole": 140, "first": 120, "second": 130, "negated": 60, "bf16": 141}


def shade(value: int) -> Pixels:
    return np.full((8, 8, 3), value, np.uint8)


def judged(
    tried: MalformedFileCase, own: Observation | Pixels, *, complaints: int = 0, usual: int = 0
) -> oracle.Comparison:
    """Judge with references of one shade each; ``usual`` complaints come with every picture."""
    observed, pictures = {}, {}
    for label, shot in tried.references.items():
        pictures[label] = shade(SHADES[label])
        observed[shot.name] = Observation(
            build="b", shot=shot.name, outcome="picture", picture=label, complaints=usual
        )
    if isinstance(own, Observation):
        observed[tried.shot.name] = own
    else:
        pictures["got"] = own
        observed[tried.shot.name] = Observation(
            build="b",
            shot=tried.shot.name,
            outcome="picture",
            picture="got",
            complaints=usual + complaints,
        )
    return judge_malformed_file(tried, observed, pictures)


def ended(outcome: str, **more: str) -> Observation:
    return Observation(build="b", shot="x", outcome=outcome, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("own", "verdict"),
    [
        (ended("crashed", signal="SIGABRT", text="GGML_ASSERT(x) failed"), Verdict.ABORT),
        (ended("hung", text="no answer within 20 s"), Verdict.TIMEOUT),
        (ended("misdirected", text="another device"), Verdict.MISDIRECTED),
        (ended("failed", text="out of memory"), Verdict.UNJUDGED),
    ],
)
def test_what_ends_without_a_picture(own: Observation, verdict: Verdict) -> None:
    comparison = judged(malformed_case(), own)
    assert comparison.verdict is verdict
    assert own.text in comparison.evidence


def test_a_refusal_is_right_for_a_broken_file_and_wrong_for_a_good_one() -> None:
    refusal = ended("refused", text="no picture")
    assert judged(malformed_case(), refusal).verdict is Verdict.PASS
    good = malformed_case(accept=frozenset(), quietly=frozenset({"whole"}))
    assert judged(good, refusal).verdict is Verdict.REFUSED


def test_the_picture_without_needs_a_warning() -> None:
    assert judged(malformed_case(), shade(100), complaints=1).verdict is Verdict.PASS
    assert judged(malformed_case(), shade(100), complaints=1, usual=2).verdict is Verdict.PASS
    silent = judged(malformed_case(), shade(100), usual=2)
    assert silent.verdict is Verdict.NO_EFFECT
    assert "without the warning" in silent.evidence


def test_a_recipe_may_do_without_a_warning() -> None:
    assert judged(malformed_case(quietly=frozenset({"without"})), shade(100)).verdict is Verdict.PASS


def test_the_picture_of_the_good_part_is_right_only_where_there_is_one() -> None:
    part = malformed_case(accept=frozenset({"without", "second"}))
    assert judged(part, shade(130), complaints=1).verdict is Verdict.PASS
    assert judged(part, shade(130)).verdict is Verdict.NO_EFFECT
    assert judged(part, shade(120), complaints=1).verdict is Verdict.WRONG
    assert judged(malformed_case(), shade(130), complaints=1).verdict is Verdict.WRONG


@pytest.mark.parametrize(
    ("value", "words"), [(99, "of one colour"), (0, "grey level 0"), (140, "valid file")]
)
def test_any_other_picture_is_wrong_with_or_without_a_warning(value: int, words: str) -> None:
    for complaints in (0, 3):
        comparison = judged(malformed_case(), shade(value), complaints=complaints)
        assert comparison.verdict is Verdict.WRONG
        assert words in comparison.evidence
    assert comparison.error == pytest.approx(abs(value - 100) / 40)


def test_a_wrong_picture_is_measured_against_the_references() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    assert "grey levels from the picture without the adapter" in judged(malformed_case(), noise).evidence


def test_a_good_file_that_is_left_aside_has_no_effect() -> None:
    good = malformed_case(accept=frozenset(), quietly=frozenset({"whole"}))
    for complaints in (0, 1):
        assert judged(good, shade(100), complaints=complaints).verdict is Verdict.NO_EFFECT
    assert judged(good, shade(140)).verdict is Verdict.PASS


def test_one_pixel_is_enough() -> None:
    almost = shade(100)
    almost[0, 0, 0] += 1
    assert judged(malformed_case(), almost, complaints=1).verdict is Verdict.WRONG


def test_a_reference_that_could_not_be_made_leaves_the_case_unjudged() -> None:
    tried = malformed_case()
    observed = {shot.name: ended("crashed", signal="SIGSEGV", text="dead") for shot in tried.shots}
    observed[tried.shot.name] = Observation(build="b", shot="x", outcome="picture", picture="got")
    assert judge_malformed_file(tried, observed, {"got": shade(1)}).verdict is Verdict.UNJUDGED
