from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cases.case import Shot
from harness.cases.shot_request import ShotRequest
from harness.running import worker_process
from harness.running.worker_process import WorkerProcess
from sdcpp.binding.api.interface import Lora
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
    deadline = time.monotonic() + 60
    while first.alive:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert worker.request(shot, 60).picture == pictures[0]
    assert worker.begin() is not first


def test_a_worker_that_is_killed_while_it_makes_a_picture_has_crashed(
    fake_build: Callable[..., Build], shot: ShotRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_HANG", "generate")
    with contextlib.closing(WorkerProcess(fake_build("C"), "cpu", 1, keeps_state=True)) as worker:
        process = worker.begin()
        process.ready.result(60)
        threading.Timer(2, os.kill, (process.pid, signal.SIGKILL)).start()
        died = worker.request(shot, 60)
    assert (died.outcome, died.signal) == ("crashed", "SIGKILL")


def test_a_worker_that_hangs_is_killed(
    fake_build: Callable[..., Build], shot: ShotRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_HANG", "generate")
    with contextlib.closing(WorkerProcess(fake_build("C"), "cpu", 1, keeps_state=True)) as worker:
        process = worker.begin()
        reply = worker.request(shot, 0.2)
        assert (reply.outcome, reply.text) == ("hung", "no answer within 0.2 s")
        assert not process.alive


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")
def test_only_the_fork_that_hangs_is_killed(
    worker: WorkerProcess, shot: ShotRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_HANG", "generate")
    process = worker.begin()
    reply = worker.request(shot, 0.2)
    assert (reply.outcome, reply.text) == ("hung", "no answer within 0.2 s")
    assert process.alive
    assert worker.begin() is process


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")
def test_several_threads_have_large_pictures_made_at_the_same_time(
    worker: WorkerProcess, shot: ShotRequest
) -> None:
    large = {**shot.generation, "width": 512, "height": 512, "prompt": "cat " * 100_000}
    requests = [replace(shot, generation={**large, "seed": number}) for number in range(6)]
    with ThreadPoolExecutor(6) as threads:
        together = list(threads.map(lambda request: worker.request(request, 60).picture, requests))
    assert None not in together
    assert together == [worker.request(request, 60).picture for request in requests]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")
def test_a_request_that_waits_for_another_context_is_not_hung(
    worker: WorkerProcess, shot: ShotRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "ROOM_PER_CORE", 0)
    monkeypatch.setattr(worker_process, "LEAST_ROOM", 1)
    monkeypatch.setenv("FAKE_HANG", "slow")
    adapter = shot.lora_dir / "slow.safetensors"
    adapter.touch()
    slow = replace(shot, sequence=((Lora(path=adapter, multiplier=1.0),),))
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(worker.request, slow, 3.0)
        time.sleep(1)
        second = threads.submit(worker.request, replace(shot, mode="auto"), 60)
        assert (first.result().outcome, second.result().outcome) == ("hung", "picture")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")
def test_the_death_of_the_worker_is_the_reply_to_all_that_it_has_not_answered(
    worker: WorkerProcess, shot: ShotRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_HANG", "generate")
    process = worker.begin()
    with ThreadPoolExecutor(3) as threads:
        replies = [threads.submit(worker.request, shot, 60) for _ in range(3)]
        time.sleep(1)
        os.kill(process.pid, signal.SIGKILL)
        assert {reply.result().signal for reply in replies} == {"SIGKILL"}
    monkeypatch.delenv("FAKE_HANG")
    assert worker.request(shot, 60).picture


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")
def test_a_crash_while_closing_a_context_is_a_warning(
    worker: WorkerProcess,
    shot: ShotRequest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FAKE_ABORT", "close")
    for mode in ("auto", "at_runtime", "immediately"):
        assert worker.request(replace(shot, mode=mode), 60).picture
    said, deadline = "", time.monotonic() + 30
    while said.count("the library crashed while it closed a context: ggml/src/ggml-fake.c:42") < 2:
        assert time.monotonic() < deadline, said
        time.sleep(0.02)
        said += capsys.readouterr().err


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
