from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cases.shot_request import ShotRequest
from harness.running.protocol import CLOSING, OPENED, OPENING, WAITING, ShotReply
from sdcpp.binding.api.interface import Lora
from sdcpp.binding.build_folder import Build
from tests.unit.running.worker_program import Program, program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")


def lora(request: ShotRequest, name: str) -> ShotRequest:
    """Return a request for a picture with an adapter of this name."""
    path = request.lora_dir / f"{name}.safetensors"
    path.touch()
    return replace(request, sequence=((Lora(path=path, multiplier=1.0),),))


def descendants(pid: int) -> dict[int, int]:
    """Return the processes below a process and the parent of each."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                state, parent = (folder / "stat").read_text(encoding="utf-8").rpartition(") ")[2].split()[:2]
            except OSError:
                continue
            if state != "Z":
                parents[int(folder.name)] = int(parent)
    found = {pid: 0}
    while more := {child: up for child, up in parents.items() if up in found and child not in found}:
        found |= more
    del found[pid]
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    """Return once a condition holds; fails after 30 seconds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def contexts_of(worker: Program) -> set[int]:
    """Return the forks that have a context."""
    return {pid for pid, parent in descendants(worker.process.pid).items() if parent == worker.process.pid}


def test_pictures_of_one_context_are_made_at_the_same_time(
    fake_build: Callable[..., Build], request_of_nothing: ShotRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_HANG", "slow")
    with program(fake_build("C"), forks=True) as worker:
        worker.ask(lora(request_of_nothing, "slow"))
        worker.ask(request_of_nothing)
        assert worker.outcomes(3) == [(1, OPENED), (2, OPENED), (2, "picture")]
        assert len(contexts_of(worker)) == 1


def test_another_context_is_opened_while_pictures_are_made(
    fake_build: Callable[..., Build], request_of_nothing: ShotRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_HANG", "slow")
    with program(fake_build("C"), forks=True) as worker:
        worker.ask(lora(request_of_nothing, "slow"))
        assert worker.outcomes(1) == [(1, OPENED)]
        worker.ask(replace(request_of_nothing, mode="auto"))
        assert worker.outcomes(2) == [(2, OPENED), (2, "picture")]
        assert len(contexts_of(worker)) == 2


def test_a_crash_ends_one_picture_and_quotes_what_that_fork_has_printed(
    fake_build: Callable[..., Build], request_of_nothing: ShotRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ABORT", "dying")
    monkeypatch.setenv("FAKE_HANG", "slow")
    with program(fake_build("C"), forks=True) as worker:
        worker.ask(lora(request_of_nothing, "slow"))
        worker.ask(lora(request_of_nothing, "dying"))
        assert worker.outcomes(2) == [(1, OPENED), (2, OPENED)]
        number, reply = worker.reply()
        assert (number, reply.outcome, reply.signal) == (2, "crashed", "SIGABRT")
        assert reply.text == "ggml/src/ggml-fake.c:42: GGML_ASSERT(src1->type == GGML_TYPE_F32) failed"
        worker.ask(request_of_nothing)
        assert worker.outcomes(2) == [(3, OPENED), (3, "picture")]
        assert worker.process.stderr_tail() == ""


def test_a_crash_while_a_context_is_opened_ends_only_what_asked_for_it(
    fake_build: Callable[..., Build],
    request_of_nothing: ShotRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FAKE_HANG", "slow")
    monkeypatch.setenv("FAKE_OPEN_ABORTS", "dead")
    dead = tmp_path / "dead.gguf"
    dead.write_bytes(b"model")
    with program(fake_build("C"), forks=True) as worker:
        worker.ask(lora(request_of_nothing, "slow"))
        assert worker.outcomes(1) == [(1, OPENED)]
        for number in (2, 3):  # the second one starts another fork
            worker.ask(replace(request_of_nothing, files={"model": dead}))
            answered, reply = worker.reply()
            assert (answered, reply.outcome, reply.signal) == (number, "crashed", "SIGABRT")
            assert "GGML_ASSERT" in reply.text
        worker.ask(request_of_nothing)
        assert worker.outcomes(2) == [(4, OPENED), (4, "picture")]


def test_every_picture_starts_from_the_opened_context(
    fake_build: Callable[..., Build], request_of_nothing: ShotRequest
) -> None:
    with program(fake_build("C"), forks=True) as worker:
        pictures = []
        for number in range(1, 4):
            worker.ask(replace(request_of_nothing, fresh=number == 2))
            assert worker.outcomes(1) == [(number, OPENED)]
            pictures.append(worker.reply()[1].picture)
            assert len(contexts_of(worker)) == 1
        assert pictures[0] is not None
        assert pictures == [pictures[0]] * 3


@pytest.mark.parametrize(("generation", "same"), [("B", False), ("C", True)])
def test_contexts_of_generation_c_serve_all_folders_of_adapters(
    fake_build: Callable[..., Build], request_of_nothing: ShotRequest, generation: str, *, same: bool
) -> None:
    other = request_of_nothing.lora_dir / "other"
    other.mkdir()
    adapted = lora(replace(request_of_nothing, lora_dir=other), "x")
    with program(fake_build(generation), forks=True) as worker:
        pictures, contexts = [], set()
        for number, request in enumerate((request_of_nothing, adapted, request_of_nothing), 1):
            worker.ask(request)
            assert worker.outcomes(1) == [(number, OPENED)]
            pictures.append(worker.reply()[1].picture)
            wait_for(lambda: len(contexts_of(worker)) == 1)
            contexts |= contexts_of(worker)
        assert pictures[0] == pictures[2] != pictures[1]
        assert (len(contexts) == 1) is same


def test_a_cancelled_request_ends_its_picture_alone(
    fake_build: Callable[..., Build], request_of_nothing: ShotRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_HANG", "slow")
    with program(fake_build("C"), forks=True) as worker:
        for number in (1, 2):
            worker.ask(lora(request_of_nothing, "slow"))
            assert worker.outcomes(1) == [(number, OPENED)]
        wait_for(lambda: len(descendants(worker.process.pid)) == 3)
        worker.cancel(1)
        assert worker.outcomes(1) == [(1, "crashed")]
        assert len(descendants(worker.process.pid)) == 2
        worker.cancel(1)  # the reply may have been on its way
        worker.ask(request_of_nothing)
        assert worker.outcomes(2) == [(3, OPENED), (3, "picture")]


def test_a_context_that_hangs_while_it_is_opened_is_killed(
    fake_build: Callable[..., Build], request_of_nothing: ShotRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_HANG", "open")
    with program(fake_build("C"), forks=True) as worker:
        worker.ask(request_of_nothing)
        wait_for(lambda: bool(contexts_of(worker)))
        worker.cancel(1)
        number, reply = worker.reply()
        assert (number, reply.signal) == (1, "SIGKILL")
        assert not descendants(worker.process.pid)


def test_contexts_that_nobody_needs_are_closed_and_a_crash_then_is_told(
    fake_build: Callable[..., Build], request_of_nothing: ShotRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [
        replace(request_of_nothing, mode=mode, generation={**request_of_nothing.generation, "seed": number})
        for number, mode in enumerate(("auto", "at_runtime", "immediately"), 1)
    ]
    with program(fake_build("C"), forks=True) as worker:
        for number, request in enumerate(requests, 1):
            worker.ask(request)
            assert worker.outcomes(2) == [(number, OPENED), (number, "picture")]
        wait_for(lambda: len(contexts_of(worker)) == 1)
    monkeypatch.setenv("FAKE_ABORT", "close")
    with program(fake_build("C"), forks=True) as worker:
        told: list[tuple[int, ShotReply]] = []
        pictures = 0
        for request in requests:
            worker.ask(request)
            while pictures < request.generation["seed"]:
                number, reply = worker.reply()
                pictures += reply.outcome == "picture"
                told += [(number, reply)] if reply.outcome == CLOSING else []
        while len(told) < 2:
            told.append(worker.reply())
        assert {reply.outcome for _, reply in told} == {CLOSING}
        assert [(number, reply.signal) for number, reply in told] == [(0, "SIGABRT")] * 2
        assert all("GGML_ASSERT" in reply.text for _, reply in told)


def size(request: ShotRequest) -> int:
    """Return the bytes of the model files of a request."""
    return sum(path.stat().st_size for path in request.files.values())


def test_a_request_waits_while_there_is_no_room_beside_the_contexts_in_use(
    fake_build: Callable[..., Build], request_of_nothing: ShotRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_HANG", "slow")
    with program(fake_build("C"), forks=True, room=2 * size(request_of_nothing)) as worker:
        slow = [lora(replace(request_of_nothing, mode=mode), "slow") for mode in ("auto", "at_runtime")]
        for number, request in enumerate(slow, 1):
            worker.ask(request)
            assert worker.outcomes(1) == [(number, OPENED)]
        third = replace(request_of_nothing, mode="immediately")
        for number in (3, 4):
            worker.ask(third)
            assert worker.outcomes(1) == [(number, WAITING)]
        # An open context makes pictures as before.
        worker.ask(replace(request_of_nothing, mode="auto"))
        assert worker.outcomes(2) == [(5, OPENED), (5, "picture")]
        assert len(contexts_of(worker)) == 2
        worker.cancel(2)
        assert worker.outcomes(3) == [(2, "crashed"), (3, OPENING), (4, OPENING)]
        assert sorted(worker.outcomes(4)) == [(n, outcome) for n in (3, 4) for outcome in (OPENED, "picture")]
        wait_for(lambda: len(contexts_of(worker)) == 2)


def test_a_crash_while_a_context_is_opened_lets_the_next_one_be_opened(
    fake_build: Callable[..., Build],
    request_of_nothing: ShotRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FAKE_OPEN_ABORTS", "dead")
    monkeypatch.setenv("FAKE_HANG", "slow")
    dead = tmp_path / "dead.gguf"
    dead.write_bytes(b"model")
    with program(fake_build("C"), forks=True, room=size(request_of_nothing)) as worker:
        worker.ask(lora(request_of_nothing, "slow"))
        assert worker.outcomes(1) == [(1, OPENED)]
        worker.ask(replace(request_of_nothing, files={"model": dead}))
        worker.ask(replace(request_of_nothing, mode="auto"))
        assert worker.outcomes(2) == [(2, WAITING), (3, WAITING)]
        worker.cancel(1)
        assert worker.outcomes(3) == [(1, "crashed"), (2, OPENING), (2, "crashed")]
        assert worker.outcomes(3) == [(3, OPENING), (3, OPENED), (3, "picture")]


@pytest.mark.parametrize("ending", ["its parent closes the pipe", "it is killed"])
def test_all_forks_end_with_the_worker(
    fake_build: Callable[..., Build],
    request_of_nothing: ShotRequest,
    monkeypatch: pytest.MonkeyPatch,
    ending: str,
) -> None:
    monkeypatch.setenv("FAKE_HANG", "slow")
    with program(fake_build("C"), forks=True) as worker:
        worker.ask(lora(request_of_nothing, "slow"))
        worker.ask(lora(replace(request_of_nothing, mode="auto"), "slow"))
        assert worker.outcomes(2)
        wait_for(lambda: len(descendants(worker.process.pid)) == 4)
        forks = descendants(worker.process.pid)
        if ending == "it is killed":
            os.kill(worker.process.pid, signal.SIGKILL)
        else:
            pipe = worker.process._process.stdin
            assert pipe is not None
            pipe.close()
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in forks))
