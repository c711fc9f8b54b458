from __future__ import annotations

from pathlib import Path

import pytest

from harness.studies.training import training_peer
from harness.studies.training.study import WAYS

REASON = "torch and peft are not installed: nox -s training has them"


@pytest.mark.usefixtures("cache_folder")
def test_each_way_has_a_loss_and_training_sees_that_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "peft"):
        pytest.importorskip(name, reason=REASON)
    for name, value in {"WIDTH": 64, "HIDDEN": 96, "TEST": 32, "BATCH": 8, "TIMED": 2}.items():
        monkeypatch.setattr(training_peer, name, value)
    # Without a build, the gguf package quantises.
    found = training_peer.main("", ["Q4_0"], [1], 6, ["Q8_0"])
    runs = {run["way"]: run for run in found["runs"]}
    assert set(runs) == {"float", *WAYS}
    assert all(0 < run["loss"] < 2 for run in runs.values())
    for way in ("fake", "late", "rebalanced, late"):
        assert runs[way]["seen"] == runs[way]["loss"]
    assert runs["float"]["loss"] != runs["plain"]["loss"]
    assert list(found["seconds"]) == ["Q8_0"]


def test_the_script_imports_neither_torch_nor_peft_by_itself() -> None:
    text = Path(training_peer.__file__).read_text(encoding="utf-8")
    assert "import torch" not in text
    assert "import peft" not in text
