from __future__ import annotations

import re
from dataclasses import replace

from harness.records.verdict import Verdict
from harness.studies.history import changes, defects, page
from harness.studies.history.run import HistoryJudgement
from tests.unit.studies.history.history_rows import GROUPS, row


def test_the_page_has_each_change_of_a_verdict_and_the_number_of_commits_not_run() -> None:
    rows = {
        "0.2.2": row("0.2.2"),
        "0.2.3": row("0.2.3", Verdict.ABORT),
        "0.2.5": row("0.2.5"),
    }
    text = page.page(rows, GROUPS, {})
    steps = re.findall(r"^- immediately: (.*)$", text, re.MULTILINE)
    assert len(steps) == 2
    assert steps[0].startswith("ok in 0.2.2 (9578fdc, 2024-11-30), abort in 0.2.3 (dcf91f9, 2024-12-28): `so")
    assert steps[1].startswith("abort in 0.2.3")
    assert "(1 of the commits between them not run)" in steps[1]


def test_the_first_table_says_in_which_revisions_each_case_fails() -> None:
    rows = {
        "0.2.2": row("0.2.2"),
        "0.2.3": row("0.2.3", Verdict.ABORT),
        "0.2.4": row("0.2.4", Verdict.ABORT),
        "0.2.5": row("0.2.5"),
        "0.2.6": row("0.2.6", Verdict.WRONG),
        "0.2.7": row("0.2.7", Verdict.WRONG),
    }
    (line,) = [line for line in changes.failing(rows, GROUPS) if line.startswith("| `rank-1`")]
    assert line.endswith("| abort in 0.2.3 to 0.2.4, wrong in 0.2.6 to now | – |")


def test_records_are_compared_with_the_known_defects() -> None:
    rank = next(defect for defect in defects.KNOWN if defect.case == "rank-1")
    assert (rank.first, rank.last) == ("0.1.1", "0.2.4")
    rows = {
        "0.2.3": row("0.2.3", Verdict.ABORT),  # agrees
        "0.2.4": row("0.2.4"),  # should abort
        "0.2.6": row("0.2.6", Verdict.WRONG),  # should be fixed
        "0.2.7": row("0.2.7"),
    }
    (line,) = [line for line in page.page(rows, GROUPS, {}).splitlines() if "issue 573" in line]
    assert "| 2 of 4 | 0.2.4: ok; 0.2.6: wrong |" in line


def test_what_is_not_judged_neither_agrees_with_a_defect_nor_is_one() -> None:
    rows = {"0.2.3": row("0.2.3", Verdict.UNJUDGED), "0.2.6": row("0.2.6", Verdict.UNJUDGED)}
    text = page.page(rows, GROUPS, {})
    (line,) = [line for line in text.splitlines() if "issue 573" in line]
    assert "| 0 of 0 | none |" in line
    assert "No other case fails in upstream." in text


def test_a_verdict_that_another_defect_explains_is_not_listed() -> None:
    judged = HistoryJudgement(side="patched", case="gguf-Q8_0", mode="immediately", verdict=Verdict.ABORT)
    rows = {name: replace(row(name), judgements=[judged]) for name in ("0.2.2", "0.3.0", "0.3.8")}
    lines = [line for line in page.page(rows, GROUPS, {}).splitlines() if "a quantised GGUF LoRA" in line]
    assert [line.split(" | ")[2:] for line in lines] == [["1 of 2", "0.3.0: abort |"]] * 3


def test_a_failure_without_a_known_defect_is_listed() -> None:
    judged = [
        HistoryJudgement(side="pristine", case=case, mode=mode, verdict=Verdict.WRONG)
        for case, mode in (
            ("ckpt-F16", "at_runtime"),
            ("wrong-shape", "at_runtime"),
            ("gguf-Q4_0", "immediately"),
        )
    ]
    rows = {name: replace(row(name), judgements=judged) for name in ("0.4.4", "0.4.5")}
    text = page.page(rows, GROUPS, {})
    listed = text.partition("no defect of the table:\n\n")[2].partition("\n\n")[0]
    assert listed == "- `ckpt-F16`, at_runtime: wrong in 0.4.4, 0.4.5"
    assert "No other case fails in upstream." in page.page({"0.2.9": row("0.2.9")}, GROUPS, {})
