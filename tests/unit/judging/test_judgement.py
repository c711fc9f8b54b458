from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import Case
from harness.judging.expectation import Expectation
from harness.judging.judgement import judge
from harness.records.record import Records
from harness.records.verdict import Status, Verdict
from harness.verification.run import run_sides
from sdcpp.binding.build_folder import Build
from tests.unit import fake_matrix, killable_run

pytestmark = pytest.mark.usefixtures("cache_folder")


@pytest.fixture
def before_and_after(fake_build: Callable[..., Build]) -> list[BuildUnderTest]:
    """Return a side before a change and one after it; both are the same build of the fake library."""
    before = dataclasses.replace(killable_run.build_under_test(fake_build("C")), baseline="fake")
    side = dataclasses.replace(before.side, label="fake after", patched=True, identity="another")
    return [before, dataclasses.replace(before, side=side)]


def both(records: Records) -> Records:
    """Give the side after the observations of the side before."""
    for (_, shot), seen in list(records.observations.items()):
        records.observations["another", shot] = dataclasses.replace(seen, build="another")
    return records


def test_what_fails_without_the_change_too_is_known(
    before_and_after: list[BuildUnderTest], tmp_path: Path
) -> None:
    records = both(run_sides(before_and_after[:1], tmp_path, title="", command="", jobs=2))
    cells = list(judge(before_and_after, records, []))
    assert {cell.verdict for cell in cells} == {Verdict.PASS, Verdict.WRONG}
    for cell in cells:
        assert cell.status is (Status.PASS if cell.verdict is Verdict.PASS else Status.XFAIL)
        assert bool(cell.reason) == (cell.verdict is not Verdict.PASS)


def statuses(
    sides: list[BuildUnderTest],
    records: Records,
    *lost: tuple[str, str],
    expected: tuple[Expectation, ...] = (),
) -> dict[str, tuple[Verdict, Status, str]]:
    """Judge after the shot of a case failed on sides, given as (identity, case), and return what the sides say of it.

    The worker itself fails, so that the case is not judged.
    """
    for identity, name in lost:
        shot = next(case for case in sides[0].cases if case.name == name).shot.name
        seen = records.observations[identity, shot]
        records.observations[identity, shot] = dataclasses.replace(
            seen, outcome="failed", picture=None, text="no file"
        )
    return {
        cell.side: (cell.verdict, cell.status, cell.reason)
        for cell in judge(sides, records, expected)
        if cell.case == lost[0][1]
    }


def test_what_is_not_judged_on_both_sides_is_neither_known_nor_unexpected(
    before_and_after: list[BuildUnderTest], tmp_path: Path
) -> None:
    records = both(run_sides(before_and_after[:1], tmp_path, title="", command="", jobs=2))
    identity = before_and_after[0].side.identity
    lost = [(identity, "times-0"), ("another", "times-0")]
    assert statuses(before_and_after, records, *lost) == {
        "fake": (Verdict.UNJUDGED, Status.SKIPPED, ""),
        "fake after": (Verdict.UNJUDGED, Status.SKIPPED, "not judged without the change either"),
    }
    entry = Expectation(revisions=["fake"], verdicts=[Verdict.UNJUDGED], reason="there is no file")
    assert statuses(before_and_after, records, *lost, expected=(entry,)) == {
        "fake": (Verdict.UNJUDGED, Status.XFAIL, "there is no file"),
        "fake after": (Verdict.UNJUDGED, Status.XFAIL, "there is no file"),
    }


def test_what_is_no_longer_judged_is_unexpected(
    before_and_after: list[BuildUnderTest], tmp_path: Path
) -> None:
    records = both(run_sides(before_and_after[:1], tmp_path, title="", command="", jobs=2))
    assert statuses(before_and_after, records, ("another", "times-0"))["fake after"] == (
        Verdict.UNJUDGED,
        Status.UNEXPECTED,
        "",
    )


def test_a_base_model_that_fails_in_one_mode_is_not_judged_in_that_mode(
    fake_build: Callable[..., Build], tmp_path: Path
) -> None:
    side = fake_matrix.side(fake_build("C"), "pristine", patched=False)
    records = run_sides([side], tmp_path, title="", command="", jobs=2)
    [name] = {c.shot.name for c in side.cases if c.name == "none" and c.shot.name.startswith("other/at_")}
    seen = records.observations[side.side.identity, name]
    records.observations[side.side.identity, name] = dataclasses.replace(
        seen, outcome="crashed", picture=None, signal="SIGABRT", text="GGML_ASSERT(x) failed"
    )
    for cell in judge([side], records, []):
        failing = (cell.dimensions["base"], cell.dimensions["mode"]) == ("other", "at_runtime")
        if not failing:
            assert (cell.verdict, cell.base_failure) == (Verdict.PASS, "")
            continue
        assert cell.verdict is (Verdict.ABORT if cell.case == "none" else Verdict.UNJUDGED)
        assert cell.base_failure == (
            "the base model other makes no picture without an adapter in mode at_runtime: "
            "SIGABRT: GGML_ASSERT(x) failed"
        )


def test_what_the_revision_lacks_is_not_run_and_is_unsupported(
    before_and_after: list[BuildUnderTest], tmp_path: Path
) -> None:
    first = before_and_after[0].cases[0]
    assert isinstance(first, Case)
    other = dataclasses.replace(first, name="ckpt", dimensions={**first.dimensions, "container": "ckpt"})
    shot = dataclasses.replace(other.shot, sequence=(*other.shot.sequence, ()))
    cases = [dataclasses.replace(other, shot=shot), *before_and_after[0].cases[1:4]]
    sides = [
        dataclasses.replace(side, cases=cases, lacks={"ckpt": "no such reader"}) for side in before_and_after
    ]
    assert sides[0].supported == cases[1:]
    records = both(run_sides(sides[:1], tmp_path, title="", command="", jobs=2))
    assert shot.name not in {name for _, name in records.observations}
    cells = list(judge(sides, records, []))
    found = [cell for cell in cells if cell.case == "ckpt"]
    assert [(cell.side, cell.verdict, cell.status) for cell in found] == [
        ("fake", Verdict.UNSUPPORTED, Status.XFAIL),
        ("fake after", Verdict.UNSUPPORTED, Status.XFAIL),
    ]
    assert {(cell.evidence, cell.reason) for cell in found} == {("no such reader", "no such reader")}


def test_what_passed_without_the_change_and_fails_with_it_is_red(
    before_and_after: list[BuildUnderTest], tmp_path: Path
) -> None:
    records = both(run_sides(before_and_after[:1], tmp_path, title="", command="", jobs=2))
    good = next(case for case in before_and_after[0].cases if case.name == "times-0")
    bad = next(case for case in before_and_after[0].cases if case.name == "times-1")
    seen = records.observations
    lost = dataclasses.replace(seen["another", bad.shot.name], picture=None, outcome="crashed", text="gone")
    seen["another", good.shot.name] = lost
    seen["another", bad.shot.name] = lost
    cells = {cell.case: cell for cell in judge(before_and_after, records, []) if cell.side == "fake after"}
    assert (cells["times-0"].verdict, cells["times-0"].status) == (Verdict.ABORT, Status.UNEXPECTED)
    assert cells["times-1"].status is Status.UNEXPECTED, "a wrong picture before, no process now"
    assert cells["times-2"].status is Status.XFAIL


def test_a_change_between_two_expected_verdicts_of_one_case_is_unstable(
    before_and_after: list[BuildUnderTest], tmp_path: Path
) -> None:
    records = both(run_sides(before_and_after[:1], tmp_path, title="", command="", jobs=2))
    shot = next(case for case in before_and_after[0].cases if case.name == "times-0").shot.name
    seen = records.observations["another", shot]
    records.observations["another", shot] = dataclasses.replace(seen, picture=None, outcome="crashed")
    several = Expectation(revisions=["fake"], verdicts=[Verdict.PASS, Verdict.ABORT], reason="memory")
    single = dataclasses.replace(several, verdicts=[Verdict.ABORT])
    for entry, wanted in (
        (several, (Verdict.UNSTABLE, Status.XFAIL, "memory")),
        (single, (Verdict.ABORT, Status.UNEXPECTED, "")),
    ):
        [after] = [
            cell
            for cell in judge(before_and_after, records, [entry])
            if (cell.side, cell.case) == ("fake after", "times-0")
        ]
        assert (after.verdict, after.status, after.reason) == wanted
