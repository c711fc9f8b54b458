from __future__ import annotations

import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.adapters.adapter_file import AdapterFile
from harness.adapters.use import Use
from harness.cases.case import Shot
from harness.cases.shot_request import ShotRequest
from harness.running.preparer import Preparer
from sdcpp.errors import FileInvalid
from tests.unit.fake_models import ADAPTER, BASE

pytestmark = pytest.mark.usefixtures("cache_folder")


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedFile(AdapterFile):
    """A file that holds the id of the process that made it, or a file that cannot be made."""

    fault: str = ""

    def make(self) -> Path:
        if self.fault == "error":
            raise FileInvalid("not made", "the file", "make another")
        if self.fault == "death":
            os.kill(os.getpid(), signal.SIGKILL)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path.write_text(str(os.getpid()))
        return self.path


def shot(fault: str = "", seed: int = 7) -> Shot:
    adapter = replace(ADAPTER, name=f"lora-{seed}", seed=seed)
    file = TracedFile(base=BASE, adapter=adapter, container="gguf", kind="F32", fault=fault)
    return Shot(base=BASE, mode="at_runtime", sequence=((Use(file=file),),))


def made_by(request: ShotRequest) -> int:
    return int(request.sequence[0][0].path.read_text())


def test_threads_get_the_requests_that_the_shots_themselves_make() -> None:
    shots = [shot(seed=n) for n in range(12)]
    with Preparer(shots, 2) as prepare, ThreadPoolExecutor(4) as threads:
        requests = list(threads.map(lambda one: prepare(one, 42), shots))
        makers = {made_by(request) for request in requests}
    assert requests == [one.request(42) for one in shots]
    if sys.platform == "linux":
        assert os.getpid() not in makers
        assert 1 <= len(makers) <= 2
        for maker in makers:
            with pytest.raises(ProcessLookupError):
                os.kill(maker, 0)


def test_an_error_in_a_process_is_raised_in_the_calling_thread() -> None:
    broken = shot("error", seed=8)
    with Preparer([broken, shot()], 1) as prepare:
        with pytest.raises(FileInvalid) as caught:
            prepare(broken, 1)
        assert caught.value.remedy == "make another"
        assert prepare(shot(), 1).generation["seed"] == 1


def test_a_shot_is_found_by_its_name() -> None:
    gguf, safetensors = (
        replace(
            shot(),
            merged=(Use(file=AdapterFile(base=BASE, adapter=ADAPTER, container=container, kind="F32")),),
        )
        for container in ("gguf", "safetensors")
    )
    assert gguf != safetensors
    assert gguf.name == safetensors.name
    with Preparer([gguf], 1) as prepare:
        assert prepare(safetensors, 42).sequence == safetensors.request(42).sequence


@pytest.mark.skipif(sys.platform != "linux", reason="files are made in this process")
def test_the_death_of_a_process_is_an_error() -> None:
    with Preparer([shot("death")], 1) as prepare, pytest.raises(ChildProcessError, match="at_runtime"):
        prepare(shot("death"), 1)


@pytest.mark.skipif(sys.platform != "linux", reason="files are made in this process")
def test_a_process_is_ended_at_once_whatever_the_command_does_with_the_signal(
    capfd: pytest.CaptureFixture[str],
) -> None:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Preparer([shot()], 1) as prepare:
            os.kill(made_by(prepare(shot(), 1)), signal.SIGTERM)
            with pytest.raises(ChildProcessError, match="died"):
                prepare(shot(), 1)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(sys.platform != "linux", reason="files are made in this process")
def test_the_processes_end_with_their_parent() -> None:
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        with Preparer([shot()], 2) as prepare:
            os.write(writing, str(made_by(prepare(shot(), 1))).encode())
            time.sleep(60)
        os._exit(0)
    maker = int(os.read(reading, 100))
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    for _ in range(100):
        if not Path(f"/proc/{maker}").exists() or ") Z " in Path(f"/proc/{maker}/stat").read_text(
            encoding="utf-8"
        ):
            break
        time.sleep(0.1)
    else:
        pytest.fail(f"process {maker} outlives its parent")
