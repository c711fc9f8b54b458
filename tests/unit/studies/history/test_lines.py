from __future__ import annotations

from dataclasses import replace

from harness.records.verdict import Verdict
from harness.studies.history import lines
from harness.studies.history.run import HistoryJudgement
from harness.studies.history.survey import SurveyedSdist
from tests.unit.studies.history.history_rows import GROUPS, row


def judged(
    case: str, verdict: Verdict, side: str = "pristine", error: float | None = None
) -> HistoryJudgement:
    return HistoryJudgement(side=side, case=case, mode="auto", verdict=verdict, error=error, evidence="so")


def test_a_verdict_is_in_lower_case_and_a_wrong_one_has_its_error() -> None:
    assert lines.verdict_text(Verdict.PASS) == "ok"
    assert lines.verdict_text(Verdict.NO_EFFECT) == "no effect"
    assert lines.judgement_text(judged("c", Verdict.WRONG, error=0.256)) == "wrong 0.26"
    assert lines.judgement_text(judged("c", Verdict.WRONG)) == "wrong"
    assert lines.judgement_text(judged("c", Verdict.PASS, error=0.01)) == "ok"


def test_a_row_is_summarised_by_side_with_its_seconds() -> None:
    found = [
        judged("a", Verdict.PASS),
        judged("b", Verdict.PASS),
        judged("c", Verdict.ABORT),
        judged("a", Verdict.PASS, "patched"),
    ]
    one = replace(row("0.2.9", seconds={"build": 61.6, "run": 2.4}), judgements=found)
    assert lines.row_summary(one) == "0.2.9: pristine 2 ok, 1 abort; patched 1 ok (build 62 s, run 2 s)"


def test_a_row_that_failed_has_only_the_reason() -> None:
    failed = replace(row("0.2.9", failed="no compiler"), judgements=[])
    assert lines.row_summary(failed) == "0.2.9: failed: no compiler"
    assert list(lines.row_verdicts(failed)) == ["0.2.9: failed: no compiler"]


def test_a_row_that_cannot_be_judged_says_so_first() -> None:
    one = replace(row("0.2.9", complaints=["on 0.2.9 pristine, no model opens"]), judgements=[])
    said = "0.2.9: cannot be judged: on 0.2.9 pristine, no model opens: "
    assert lines.row_summary(one).startswith(said)
    assert [line.startswith(said) for line in lines.row_verdicts(one)] == [True]


def test_each_judgement_is_a_line_without_space_at_its_end() -> None:
    quiet = replace(judged("b", Verdict.PASS, "patched"), evidence="")
    one = replace(row("0.2.9"), judgements=[judged("a", Verdict.ABORT), quiet])
    assert list(lines.row_verdicts(one)) == [
        "0.2.9 pristine a@auto: abort so",
        "0.2.9 patched  b@auto: ok",
    ]


def test_a_commit_is_named_by_its_newest_sdist() -> None:
    group = next(group for group in GROUPS if len(group) > 1)
    last = group[-1]
    assert last.commit is not None
    assert lines.commit_text(group) == f"{last.name} ({last.commit[:7]}, {last.date})"


def test_an_sdist_is_a_line_with_its_convention_or_the_reason_why_there_is_none() -> None:
    known = SurveyedSdist(
        revision="1", tree="t", binding={"convention": "GenerationB"}, patches={"a.patch": "applies"}
    )
    assert lines.survey_line(known) == "1: GenerationB; a.patch applies"
    unknown = SurveyedSdist(revision="2", tree="t", unbound="variable arguments", patches={})
    assert lines.survey_line(unknown) == "2: variable arguments; "
