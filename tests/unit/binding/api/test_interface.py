from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sdcpp.binding import api
from sdcpp.errors import BackendMismatch


@pytest.mark.parametrize(
    ("log", "devices", "found"),
    [("CPU", "CPU", "cpu"), ("CUDA", "CUDA0", "cuda"), ("CUDA", "CPU", "unknown")],
)
def test_a_library_that_runs_elsewhere_is_caught(
    open_context: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, log: str, devices: str, found: str
) -> None:
    monkeypatch.setenv("FAKE_BACKEND", log)
    monkeypatch.setenv("FAKE_DEVICES", devices)
    context = open_context()
    assert context.backend == found
    for expected in ("cpu", "cuda", "vulkan"):
        if expected == found:
            api.check_backend(expected, context)
        else:
            with pytest.raises(BackendMismatch, match=f"asked for {expected}, the library runs on {found}"):
                api.check_backend(expected, context)
