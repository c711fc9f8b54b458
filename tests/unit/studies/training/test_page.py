from __future__ import annotations

from dataclasses import replace

from harness.studies.training import page, study
from tests.unit.studies.training.test_study import STUDY


def test_the_page_begins_with_the_gain_and_the_table() -> None:
    text = page.text(STUDY)
    # The medians are 0.021 for float, 0.041 for plain, and 0.020 for the best way.
    assert "- **Q4_0:** `--rebalance` 50%, fake quantiser 40%, in the last third only 30%, " in text
    assert "from rebalanced factors -5%" in text
    assert "| Q4_0 | 2.100% | 4.100% | 3.100% | 2.900% | 2.700% | 2.000% | 5.100% |" in text
    assert "makes the loss larger (Q4_0)" in text
    assert "In 6 of 6 trainings" in text
    assert "| 0.4 | 1.5 |" in text


def test_the_page_does_not_warn_of_what_did_not_happen() -> None:
    runs = [replace(run, loss=0.02) if run.way == "fake, rebalance" else run for run in STUDY.runs]
    assert "makes the loss larger" not in page.text(replace(STUDY, runs=runs))


def test_without_a_record_the_page_says_so_and_explains_the_use() -> None:
    text = page.text(None)
    assert "No measurement is recorded yet" in text
    assert "fake.attach(model)" in text


def test_the_committed_page_is_that_of_the_record() -> None:
    recorded = study.read() if study.RECORD.exists() else None
    assert page.PAGE.read_text(encoding="utf-8") == page.text(recorded)
