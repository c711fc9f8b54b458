"""A library with a memory error that does not always crash, with and without the sanitizers."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cases.case import Shot
from harness.records.record import Observation
from harness.running.worker_process import WorkerProcess
from sdcpp.binding.build_folder import Build
from sdcpp.building import sanitizer
from tests.unit.fake_models import BASE
from tests.unit.running.test_pool import by_shot, observe

pytestmark = [
    pytest.mark.usefixtures("cache_folder"),
    pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD is Linux's"),
]
NONE = Shot(base=BASE, mode="at_runtime")


def seen(fake_build: Callable[..., Build], tmp_path: Path, *, sanitized: bool) -> Observation:
    build = fake_build("C", options=dict(sanitizer.OPTIONS)) if sanitized else fake_build("C")
    return by_shot(observe(build, tmp_path, NONE))[NONE.name]


@pytest.mark.parametrize("sanitized", [False, True])
def test_a_sound_library_paints(fake_build: Callable[..., Build], tmp_path: Path, *, sanitized: bool) -> None:
    assert seen(fake_build, tmp_path, sanitized=sanitized).outcome == "picture"


@pytest.mark.parametrize(
    ("mistake", "word"), [("FAKE_FREED", "heap-use-after-free"), ("FAKE_OVERFLOW", "signed integer overflow")]
)
def test_what_goes_well_by_luck_is_found(
    fake_build: Callable[..., Build], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: str, word: str
) -> None:
    monkeypatch.setenv(mistake, "generate")
    assert seen(fake_build, tmp_path / "lucky", sanitized=False).outcome == "picture"
    found = seen(fake_build, tmp_path / "found", sanitized=True)
    assert (found.outcome, found.signal) == ("crashed", "SIGABRT")
    assert word in found.text


def test_a_usual_build_needs_nothing(fake_build: Callable[..., Build]) -> None:
    assert sanitizer.environment(fake_build("C")) == {}


def test_no_memory_limit_for_a_sanitized_worker(fake_build: Callable[..., Build]) -> None:
    build = fake_build("C", options=dict(sanitizer.OPTIONS))
    with contextlib.closing(WorkerProcess(build, "cpu", 1, 4 << 30)) as worker:
        limits = Path(f"/proc/{worker.begin().pid}/limits").read_text(encoding="utf-8")
        assert "4294967296" not in limits
