from __future__ import annotations

from harness.studies.trainers import page, study
from tests.unit.studies.trainers.test_study import STUDY


def test_the_page_has_what_fails_in_bold_and_the_reasons() -> None:
    text = page.text(STUDY)
    assert "| peft-lora | LoRA; alpha equals the rank | PASS 1.2% | **NO_EFFECT 100.0%** | 1.0e-15 |" in text
    assert "| **refused** |" in text
    assert "- The converter refuses peft-dora for flux-small: a tensor_of &lt;it> is not understood" in text
    assert "| not written | not written | not written |" in text
    assert "- lycoris-full was not written for sd1-tiny: KeyError: 'x'" in text
    assert "| **5.0e-01** |" in text
    assert "torch 2.13, peft 0.21" in text


def test_each_base_model_has_a_table() -> None:
    flux, sd1 = page.text(STUDY).split("## flux-small")[1].split("## sd1-tiny")
    assert "| peft-dora |" in flux
    assert (
        "| peft-loha-tucker | LoHa with use_effective_conv2d | **not run** | **not run** | **5.0e-01** |"
        in sd1
    )


def test_the_committed_page_is_that_of_the_record() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.text(study.read())
