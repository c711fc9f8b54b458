from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.studies.real_models import page as module
from harness.studies.real_models import study
from harness.studies.real_models.page import page
from tests.unit.studies.real_models.examples import ATTEMPT


def test_page_says_first_how_many_work() -> None:
    text = page([ATTEMPT, replace(ATTEMPT, verdicts={}, errors={}, problem="out of memory")])
    assert (
        "on 2 combinations of a model of real size, a build and a device. In 1 of them" in text.split("|")[0]
    )
    row = "| sd1 | 2.1 | 32-Q8_0 | 2026-07 with patches, cuda | a card, 2026-11-29 | PASS, 0.01 | PASS | 3.0 | 61 |"
    assert row in text
    assert "| out of memory |  | 3.0 |" in text
    assert text.count("    sdcpp study real-models\n") == 1


def test_the_page_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", tmp_path / "docs" / "real-models.md")
    assert module.write([ATTEMPT]).read_text(encoding="utf-8") == page([ATTEMPT])


def test_the_page_is_made_from_the_record() -> None:
    assert module.PAGE.read_text(encoding="utf-8") == page(study.read()), (
        "run sdcpp study real-models --recorded --write-docs"
    )
