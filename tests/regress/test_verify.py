"""What really built libraries do with GGUF LoRAs, and that the harness sees it."""

from __future__ import annotations

import pytest

from harness.records.record import Records
from harness.records.verdict import Status, Verdict
from tests.regress.conftest import PATIENT, Find

pytestmark = PATIENT

MODES = ("immediately", "at_runtime", "auto")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
def test_the_extension_check_ignores_a_gguf_lora(cell: Find, kind: str, mode: str) -> None:
    found = cell("2025-12 pristine", f"gguf-{kind}", mode)
    assert found.verdict is Verdict.NO_EFFECT
    assert found.status is Status.XFAIL
    assert "can not find" in found.evidence
    assert f"gguf-{kind}-" in found.evidence
    assert ".safetensors or " in found.evidence
    assert found.pictures["got"] == found.pictures["without"]
    assert found.error == pytest.approx(1.0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
def test_the_first_patch_makes_it_found(cell: Find, kind: str, mode: str) -> None:
    found = cell("2025-12 patched", f"gguf-{kind}", mode)
    assert found.verdict is Verdict.PASS
    assert found.error is not None
    assert found.error < 0.04


def test_the_patch_changes_no_picture_of_a_safetensors_lora(cell: Find) -> None:
    for mode in MODES:
        before, after = (cell(f"2025-12 {side}", "safetensors-F16", mode) for side in ("pristine", "patched"))
        assert before.verdict is after.verdict is Verdict.PASS
        assert before.pictures["got"] == after.pictures["got"]


def test_a_quantised_lora_aborts_the_process_and_the_run_goes_on(cell: Find, records: Records) -> None:
    aborted = cell("2026-05 pristine", "gguf-Q8_0", "immediately")
    assert aborted.verdict is Verdict.ABORT
    assert "SIGABRT" in aborted.evidence
    assert "GGML_ASSERT" in aborted.evidence
    assert cell("2026-05 pristine", "gguf-Q8_0", "at_runtime").verdict is Verdict.PASS
    assert {c.verdict for c in records.cells} >= {Verdict.PASS, Verdict.ABORT}


def test_float_loras_pass_everywhere_on_the_newest_revision(cell: Find) -> None:
    for mode in MODES:
        for case in ("safetensors-F32", "safetensors-F16", "ckpt-F16", "gguf-F32", "gguf-F16", "gguf-BF16"):
            assert cell("2026-05 pristine", case, mode).verdict is Verdict.PASS, (case, mode)


def test_loss_is_told_apart_from_correctness(cell: Find) -> None:
    coarse = cell("2026-05 pristine", "gguf-Q4_0", "at_runtime")
    assert coarse.verdict is Verdict.PASS
    assert coarse.error is not None
    assert coarse.loss is not None
    assert coarse.loss > 5 * coarse.error


def test_every_observation_names_the_backend_in_use(records: Records) -> None:
    pictures = [o for o in records.observations.values() if o.outcome == "picture"]
    assert pictures
    assert {o.backend for o in pictures} == {"cpu"}


def test_nothing_is_red(records: Records) -> None:
    assert [(c.side, c.case, c.verdict) for c in records.failing] == []
    assert records.finished
