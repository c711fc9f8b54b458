from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cli import bench_apply as command
from harness.cli.main import main
from harness.studies.applying import models, study
from harness.studies.applying.measurement import Cost
from sdcpp.binding.build_folder import Build
from sdcpp.errors import NothingTried
from tests.unit.studies.applying.examples import COST


@pytest.fixture
def measured(fake_build: Callable[..., Build], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return a mapping that gets what is measured, in place of builds, models and pictures."""
    found: dict[str, Any] = {}

    def measure(builds: Mapping[str, Build], **more: Any) -> list[Cost]:
        found.update(more, sides=list(builds))
        return [COST]

    quantiser = SimpleNamespace(quantise=None, info=lambda _: SimpleNamespace(block=32))
    base = SimpleNamespace(name="base", make=lambda: None, files={"model": {}})
    monkeypatch.setattr(command, "_builds", lambda *_: {"patched": fake_build("C")})
    monkeypatch.setattr(command, "LibraryQuantiser", lambda _: nullcontext(quantiser))
    monkeypatch.setattr(models, "MODELS", {"sd1": base})
    monkeypatch.setattr(models, "write_adapter", lambda *_, **__: 7)
    monkeypatch.setattr(command, "floor", lambda *_: None)
    monkeypatch.setattr(command, "measure", measure)
    return found


def test_apply_measures_all_adapters_in_both_modes(measured: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "cost.json"
    assert main(["bench", "--apply", "--revision", "2026-07", "--output", str(path)]) == 0
    assert len(measured["adapters"]) == 9
    assert tuple(measured["modes"]) == command.MODES
    [written] = study.read(path)
    assert written.costs == [COST]
    assert written.floors == {}


def test_adapter_and_mode_choose(measured: dict[str, Any]) -> None:
    assert main(["bench", "--apply", "--adapter", "8-Q8_0", "--mode", "at_runtime"]) == 0
    [adapter] = measured["adapters"]
    assert (adapter.rank, adapter.kind, adapter.path.suffix) == (8, "Q8_0", ".gguf")
    assert measured["modes"] == ["at_runtime"]


@pytest.mark.parametrize("wrong", [["--steps", "1"], ["--adapter", "F16"]])
def test_what_cannot_be_measured_is_refused(measured: dict[str, Any], wrong: list[str]) -> None:
    assert main(["bench", "--apply", *wrong]) == NothingTried.exit_code
    assert not measured
