from __future__ import annotations

import time
from pathlib import Path

import pytest

from harness.studies.applying import card_memory
from harness.studies.applying.card_memory import watched


def test_what_nvidia_smi_prints_is_seen_until_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\necho "$1" > "$0.asked"\nwhile :; do echo 3; echo N/A; sleep 0.05; done\n')
    program.chmod(0o755)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6")
    monkeypatch.setattr(card_memory, "which", lambda _: program)
    with watched() as seen:
        while not seen:
            time.sleep(0.01)
    assert set(seen) == {3 << 20}
    assert Path(f"{program}.asked").read_text() == "--id=5\n"


def test_without_nvidia_smi_nothing_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_memory, "which", lambda _: None)
    with watched() as seen:
        pass
    assert seen == []
