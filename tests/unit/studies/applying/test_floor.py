from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.studies.applying import floor as module


@pytest.mark.parametrize(
    ("status", "output", "wanted"),
    [(0, 'a warning\n{"load": 1.0, "merge": 2.0}\n', {"load": 1.0, "merge": 2.0}), (1, "No module", None)],
)
def test_floor_is_what_the_child_prints(
    status: int, output: str, wanted: dict[str, float] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "run", lambda *_, **__: SimpleNamespace(status=status, output=output))
    assert module.floor("cpu", Path("a.safetensors")) == wanted
