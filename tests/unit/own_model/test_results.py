from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.cases.case import Tolerance
from harness.judging.oracle import Comparison
from harness.own_model import results
from harness.own_model.examination import Examination, examine
from harness.own_model.pictures import Trial, Tried
from harness.records.record import Records, Run
from harness.records.verdict import Verdict
from harness.text import json_text
from tests.unit.own_model.own_files import lora, model, revisions

BOUND = Tolerance(bound=0.1, why="because")


def trial(*verdicts: Verdict, failure: str = "") -> Trial:
    """Return a trial of 2026-05 with these verdicts on the modes immediately and at_runtime."""
    records = Records(run=Run(plan="", title="", command="", machine={}, started="", project=""))
    for name, level in (("w", 120), ("o", 100)):
        records.pictures[name] = np.full((4, 4, 3), level, np.uint8)
    tried = [
        Tried(
            mode=mode,
            comparison=Comparison(
                verdict=verdict,
                evidence="it says <why>",
                effect=20.0,
                error=0.02,
                loss=0.25,
                tolerance=BOUND,
                pictures={"without": "o", "wanted": "w", "got": "w"},
            ),
            log=("lora \x1b[2J loaded",),
        )
        for mode, verdict in zip(("immediately", "at_runtime"), verdicts, strict=True)
    ]
    return Trial(
        label="2026-05 pristine",
        revision="2026-05",
        patched=False,
        backend="cpu",
        tried=tuple(tried),
        records=records,
        base_failure=failure,
    )


def examined(folder: Path) -> Examination:
    return examine(lora(folder / "a.safetensors"), model(folder), revisions("2026-05"))


def test_conclusions(tmp_path: Path) -> None:
    found = examined(tmp_path)
    good, bad = trial(Verdict.PASS, Verdict.PASS), trial(Verdict.ABORT, Verdict.PASS)
    said = "a LoRA for FLUX.1: 2026-05 without patches on cpu applies it in every apply mode that was tried"
    assert results.conclusion(found, [good]) == said
    assert results.conclusion(found, [bad]).endswith(
        "2026-05 without patches on cpu: ABORT (effect error 0.02) in mode immediately, "
        "PASS (effect error 0.02) in mode at_runtime; use --lora-apply-mode at_runtime"
    )
    failed = trial(Verdict.UNJUDGED, Verdict.UNJUDGED, failure="no\nmemory")
    assert results.conclusion(found, [failed]).endswith("the model makes no picture without it: no memory")


def test_exit_statuses() -> None:
    assert results.status([trial(Verdict.PASS, Verdict.PASS)]) == 0
    assert results.status([trial(Verdict.PASS, Verdict.PASS), trial(Verdict.PASS, Verdict.WRONG)]) == 1
    assert results.status([trial(Verdict.UNJUDGED, Verdict.UNJUDGED)]) == 63
    assert results.status([trial(Verdict.ABORT, Verdict.ABORT, failure="no memory")]) == 63


def test_lines_have_the_numbers_and_what_was_not_expected(tmp_path: Path) -> None:
    found = trial(Verdict.WRONG, Verdict.PASS)
    said = "\n".join(results.lines(examined(tmp_path), [found], verbose=True))
    assert "effect error 0.02 of at most 0.1, loss 0.25 against the source" in said
    assert "(expected PASS)" in said
    assert "log: lora" in said
    assert "log: lora" not in "\n".join(results.lines(examined(tmp_path), [found]))


def test_what_to_change_if_the_effect_is_too_small(tmp_path: Path) -> None:
    found = trial(Verdict.UNJUDGED, Verdict.PASS)
    assert "FILE@2" in "\n".join(results.lines(examined(tmp_path), [found]))


def test_json() -> None:
    [data] = json.loads(json_text(results.as_json([trial(Verdict.PASS, Verdict.WRONG)])))
    assert [each["verdict"] for each in data["modes"]] == ["PASS", "WRONG"]
    assert data["modes"][0]["tolerance"] == 0.1


def test_what_fails_after_changes_is_named_and_that_mode_is_not_advised(tmp_path: Path) -> None:
    good = trial(Verdict.PASS, Verdict.PASS)
    [first, second] = good.tried
    later = replace(first, comparison=replace(first.comparison, verdict=Verdict.WRONG), changed=True)
    found = replace(good, tried=(first, second, later))
    said = results.conclusion(examined(tmp_path), [found])
    assert "WRONG (effect error 0.02) in mode immediately, then without it; use" in said
    assert said.endswith("use --lora-apply-mode at_runtime")
    # 2026-05 is expected to pass, because this model has floats.
    assert "immediately, then without it WRONG" in "\n".join(results.lines(examined(tmp_path), [found]))
    [data] = results.as_json([found])
    assert [each["after_changes"] for each in data["modes"]] == [False, False, True]


def test_a_model_that_makes_no_picture_leads_to_its_other_files(tmp_path: Path) -> None:
    failed = trial(Verdict.REFUSED, Verdict.REFUSED, failure="text encoder not found")
    said = list(results.lines(examined(tmp_path), [failed]))
    assert said[1] == "    ! no picture without the adapter: text encoder not found"
    assert said[2].lstrip().startswith("give the other files of the model, too, such as --clip_l")
    assert len(said) == 3  # the verdicts would say nothing about the adapter
