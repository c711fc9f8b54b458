from __future__ import annotations

from harness.studies.trainers import page, study
from tests.unit.studies.trainers.test_study import STUDY


def test_the_page_has_what_fails_in_bold_and_the_reasons() -> None:
    text = page.text(STUDY)
    assert "| peft-lora | LoRA; alpha equals the rank | PASS 1.2% | **NO_EFFECT 100.0%** | 1.0e-15 |" in text
    assert "| **refused** |" in text
    assert "- The converter refuses peft-dora: a tensor_of &lt;it> is not understood" in text
    assert "| not written | not written | not written |" in text
    assert "- lycoris-full was not written: KeyError: 'x'" in text
    assert "| **5.0e-01** |" in text
    assert "torch 2.13, peft 0.21" in text


def test_the_committed_page_is_that_of_the_record() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.text(study.read())
