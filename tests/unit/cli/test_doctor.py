from __future__ import annotations

import pytest

from harness.cli.main import main
from sdcpp.errors import ToolMissing
from sdcpp.machine import doctor
from sdcpp.machine.backends import BACKENDS, Backend
from sdcpp.machine.doctor import Check, Health


@pytest.fixture(autouse=True)
def _only_the_cpu_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    def examine(backend: Backend) -> Health:
        missing = Check(mark="missing", what="a compiler [x]", remedy="apt install it")
        good = Check(mark="ok", what="a device")
        return Health(backend=backend, checks=(good,) if backend.name == "cpu" else (good, missing))

    monkeypatch.setattr(doctor, "examine", examine)


def test_what_is_missing_for_all_backends_is_shown_and_no_failure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.endswith("ready")] == [
        f"{name}: {'ready' if name == 'cpu' else 'not ready'}" for name in BACKENDS
    ]
    assert lines.count("  missing a compiler [x]") == len(BACKENDS) - 1
    assert lines.count("          apt install it") == len(BACKENDS) - 1


def test_one_backend_decides_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--backend", "cpu"]) == 0
    assert main(["doctor", "--backend", "cuda"]) == ToolMissing.exit_code
    assert "vulkan" not in capsys.readouterr().out
