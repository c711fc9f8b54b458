from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cases.case import Shot
from harness.cases.shot_request import ShotRequest
from harness.running.worker_process import WorkerProcess
from sdcpp.binding.build_folder import Build
from tests.unit.fake_models import BASE

pytestmark = pytest.mark.usefixtures("cache_folder")


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="this system bounds no other process's memory")
def test_memory_is_bounded_where_asked_for(fake_build: Callable[..., Build]) -> None:
    for memory in (None, 4 << 30):
        with contextlib.closing(WorkerProcess(fake_build("C"), "cpu", 1, memory)) as worker:
            soft, hard = resource.prlimit(worker.begin().pid, resource.RLIMIT_AS)
            assert (soft, hard) == (memory, memory) if memory else soft != 4 << 30


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="this system does not show environments")
@pytest.mark.parametrize(
    ("memory", "own", "wanted"), [(4 << 30, "", "165"), (4 << 30, "0", "0"), (None, "", "")]
)
def test_allocated_memory_is_filled_where_files_are_malformed(
    fake_build: Callable[..., Build],
    monkeypatch: pytest.MonkeyPatch,
    memory: int | None,
    own: str,
    wanted: str,
) -> None:
    monkeypatch.delenv("MALLOC_PERTURB_", raising=False)
    if own:
        monkeypatch.setenv("MALLOC_PERTURB_", own)
    with contextlib.closing(WorkerProcess(fake_build("C"), "cpu", 1, memory)) as worker:
        pid = worker.begin().pid
        # The file is empty while the system starts the program.
        while not (content := Path(f"/proc/{pid}/environ").read_bytes()):
            time.sleep(0.01)
    entries = content.decode().split("\0")
    assert [entry for entry in entries if entry.startswith("MALLOC_PERTURB_=")] == (
        [f"MALLOC_PERTURB_={wanted}"] if wanted else []
    )


@pytest.fixture
def worker(fake_build: Callable[..., Build]) -> Iterator[WorkerProcess]:
    """Return a worker of the fake library, whose process is not started yet."""
    with contextlib.closing(WorkerProcess(fake_build("C"), "cpu", 1)) as made:
        yield made


@pytest.fixture
def shot(cache_folder: Path) -> ShotRequest:
    """Return a request for a picture without an adapter, with files in the test's own cache."""
    assert cache_folder
    return Shot(base=BASE, mode="at_runtime").request(1)


def test_the_process_goes_on_from_request_to_request_and_is_started_again_after_its_death(
    worker: WorkerProcess, shot: ShotRequest
) -> None:
    first = worker.begin()
    pictures = [worker.request(shot, 60).picture for _ in range(2)]
    assert pictures[0] == pictures[1] is not None
    assert worker.begin() is first
    os.kill(first.pid, signal.SIGKILL)
    died = worker.request(shot, 60)
    assert (died.outcome, died.signal, died.while_closing) == ("crashed", "SIGKILL", False)
    assert worker.request(shot, 60).picture == pictures[0]
    assert worker.begin() is not first


def test_a_worker_that_hangs_is_killed(
    worker: WorkerProcess, shot: ShotRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_HANG", "generate")
    process = worker.begin()
    reply = worker.request(shot, 0.2)
    assert reply.outcome == "hung"
    assert "0.2 s" in reply.text
    assert not process.alive


def test_a_build_that_cannot_be_loaded_is_a_reply(
    fake_build: Callable[..., Build], shot: ShotRequest
) -> None:
    build = replace(fake_build("C"), folder=Path("/nowhere"))
    with contextlib.closing(WorkerProcess(build, "cpu", 1)) as worker:
        reply = worker.request(shot, 60)
    assert reply.outcome == "failed"
    assert "no build record" in reply.text


def test_a_python_that_does_not_start_is_no_crash_of_the_library(
    worker: WorkerProcess, shot: ShotRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "json.py").write_text("raise RuntimeError('broken installation')\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.fspath(tmp_path))
    reply = worker.request(shot, 60)
    assert reply.outcome == "failed"
    assert "broken installation" in reply.text
    monkeypatch.delenv("PYTHONPATH")
    assert worker.request(shot, 60).outcome == "picture"
