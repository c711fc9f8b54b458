from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.adapters.adapter_file import AdapterFile
from harness.adapters.use import Use
from harness.cases.case import Shot
from harness.malformed.malformed_file import MalformedFile, WrittenMalformedFile
from harness.records import record
from harness.records.record import Observation, Records
from harness.running import pool
from sdcpp.binding.build_folder import Build
from tests.unit.fake_models import ADAPTER, BASE

pytestmark = pytest.mark.usefixtures("cache_folder")

NONE = Shot(base=BASE, mode="at_runtime")
HALF = AdapterFile(base=BASE, adapter=ADAPTER, container="safetensors", kind="F16")
FULL = AdapterFile(base=BASE, adapter=ADAPTER, container="safetensors", kind="F32")


def using(*files: AdapterFile, mode: str = "at_runtime", multiplier: float = 1.0) -> Shot:
    return Shot(base=BASE, mode=mode, sequence=(tuple(Use(file=f, multiplier=multiplier) for f in files),))


def observe(
    build: Build, tmp_path: Path, *shots: Shot, jobs: int = 1, timeout: float = 60, backend: str = "cpu"
) -> Records:
    path = tmp_path / "records.jsonl"
    with record.Writer(path) as writer:
        writer.run(record.Run(plan="", title="", command="", machine={}, started="", project=""))
        pool.run_shots(build, backend, shots, writer, jobs=jobs, threads=1, timeout=timeout)
    return record.read(path)


def by_shot(records: Records) -> dict[str, Observation]:
    return {shot: o for (_, shot), o in records.observations.items()}


def test_pictures_arrive_with_backend_log_and_cost(fake_build: Callable[..., Build], tmp_path: Path) -> None:
    began = time.perf_counter()
    records = observe(fake_build("C"), tmp_path, NONE, using(FULL, multiplier=2.0))
    elapsed = time.perf_counter() - began
    plain, changed = (by_shot(records)[s.name] for s in (NONE, using(FULL, multiplier=2.0)))
    assert plain.outcome == changed.outcome == "picture"
    assert plain.backend == "cpu"
    assert plain.memory > 1_000_000
    assert set(plain.seconds) == {"files", "open", "generate"}
    assert 0 < sum(plain.seconds.values()) + sum(changed.seconds.values()) < elapsed
    assert plain.picture
    assert changed.picture
    difference = records.pictures[changed.picture].astype(int) - records.pictures[plain.picture]
    assert np.median(difference) == 32


@pytest.mark.parametrize("generation", ["B", "C"])
def test_warnings_are_counted(fake_build: Callable[..., Build], tmp_path: Path, generation: str) -> None:
    recipe = MalformedFile(name="missing", container="path", why="nothing is there", place=lambda _: None)
    missing = Shot(
        base=BASE, mode="at_runtime", sequence=((Use(file=WrittenMalformedFile(base=BASE, recipe=recipe)),),)
    )
    seen = by_shot(observe(fake_build(generation), tmp_path, NONE, missing))
    assert (seen[NONE.name].complaints, seen[missing.name].complaints) == (0, 1)


@pytest.mark.parametrize("generation", ["B", "C"])
def test_a_crash_is_one_observation_and_the_run_goes_on(
    fake_build: Callable[..., Build], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, generation: str
) -> None:
    monkeypatch.setenv("FAKE_ABORT", FULL.name)
    shots = [NONE, using(FULL), using(HALF)]
    seen = by_shot(observe(fake_build(generation), tmp_path, *shots))
    assert [seen[s.name].outcome for s in shots] == ["picture", "crashed", "picture"]
    dead = seen[using(FULL).name]
    assert dead.signal == "SIGABRT"
    assert dead.text == "ggml/src/ggml-fake.c:42: GGML_ASSERT(src1->type == GGML_TYPE_F32) failed"


def test_a_crash_while_the_model_loads(
    fake_build: Callable[..., Build], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ABORT", "open")
    seen = by_shot(observe(fake_build("C"), tmp_path, NONE, using(HALF)))
    assert {o.outcome for o in seen.values()} == {"crashed"}
    assert all("GGML_ASSERT" in o.text for o in seen.values())


def test_a_hang_ends_at_the_time_limit_and_leaves_no_process(
    fake_build: Callable[..., Build], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_HANG", FULL.name)
    build = fake_build("C")
    seen = by_shot(observe(build, tmp_path, using(FULL), using(HALF), timeout=1.5))
    assert seen[using(FULL).name].outcome == "hung"
    assert "1.5 s" in seen[using(FULL).name].text
    assert seen[using(HALF).name].outcome == "picture"
    deadline = time.monotonic() + 30
    while _processes(build):  # forks are killed just after the worker
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_time_limit_is_for_the_picture_and_not_for_opening_the_model(
    fake_build: Callable[..., Build], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_SLOW", "open")
    [seen] = by_shot(observe(fake_build("C"), tmp_path, using(FULL), timeout=2)).values()
    assert seen.outcome == "picture"
    assert seen.seconds["open"] > 2


def test_a_shot_that_hangs_once_is_tried_again(
    fake_build: Callable[..., Build], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = tmp_path / "once"
    once.touch()
    monkeypatch.setenv("FAKE_HANG", FULL.name)
    monkeypatch.setenv("FAKE_ONCE", str(once))
    [seen] = by_shot(observe(fake_build("C"), tmp_path, using(FULL), timeout=2)).values()
    assert seen.outcome == "picture"
    assert not once.exists()


def test_a_library_that_declines_is_quoted(
    fake_build: Callable[..., Build], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_NULL", "open")
    [refused] = by_shot(observe(fake_build("C"), tmp_path, NONE)).values()
    assert refused.outcome == "refused"
    assert "told to refuse" in refused.text


@pytest.mark.parametrize("lie", [{"FAKE_BACKEND": "CUDA0"}, {"FAKE_DEVICES": "CUDA0"}])
def test_a_library_on_another_backend_than_asked_for(
    fake_build: Callable[..., Build], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lie: dict[str, str]
) -> None:
    for name, value in lie.items():
        monkeypatch.setenv(name, value)
    [observation] = by_shot(observe(fake_build("C"), tmp_path, NONE)).values()
    assert observation.outcome == "misdirected"
    assert "asked for cpu" in observation.text


def test_a_fall_back_to_the_cpu_is_no_vulkan_result(fake_build: Callable[..., Build], tmp_path: Path) -> None:
    [observation] = by_shot(observe(fake_build("C"), tmp_path, NONE, backend="vulkan")).values()
    assert observation.outcome == "misdirected"
    assert "the library runs on cpu" in observation.text


def test_a_worker_killed_from_outside_is_replaced_and_the_shot_tried_again(
    fake_build: Callable[..., Build], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_HANG", FULL.name)
    killed = threading.Event()

    def kill() -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not killed.is_set():
            if processes := _processes(build):
                monkeypatch.delenv("FAKE_HANG")
                os.kill(min(processes), signal.SIGKILL)  # its forks come later
                killed.set()
            time.sleep(0.05)

    build = fake_build("C")
    killer = threading.Thread(target=kill)
    killer.start()
    seen = by_shot(observe(build, tmp_path, using(FULL), using(HALF)))
    killer.join()
    assert killed.is_set()
    assert {o.outcome for o in seen.values()} == {"picture"}


def test_two_workers_see_what_one_sees(fake_build: Callable[..., Build], tmp_path: Path) -> None:
    shots = [NONE, using(FULL), using(HALF), using(FULL, HALF), using(HALF, mode="immediately")]
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one = observe(fake_build("C"), tmp_path / "one", *shots, jobs=1)
    two = observe(fake_build("C"), tmp_path / "two", *shots, jobs=2)
    assert {k: o.picture for k, o in by_shot(one).items()} == {k: o.picture for k, o in by_shot(two).items()}
    assert len(by_shot(one)) == len(shots)


def test_paths_of_this_machine_stay_out_of_the_records(
    fake_build: Callable[..., Build], tmp_path: Path, cache_folder: Path
) -> None:
    records = observe(
        fake_build("B"),
        tmp_path,
        using(AdapterFile(base=BASE, adapter=ADAPTER, container="gguf", kind="F32")),
    )
    [observation] = records.observations.values()
    assert any("gguf-F32" in line for line in observation.log)
    assert str(cache_folder) not in (tmp_path / "records.jsonl").read_text()


def test_several_workers_a_core_but_no_more_than_there_is_memory_for() -> None:
    assert pool.worker_count(2, 16 << 30) == (6, 1)
    assert pool.worker_count(2, 7 << 30) == (3, 1)
    assert pool.worker_count(64, 256 << 30) == (24, 1)
    assert pool.worker_count(1, 1 << 30) == (1, 1)


def _processes(build: Build) -> set[int]:
    """The worker processes that hold a build: those of other runs on this machine hold others."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if os.fsencode(build.folder) in words:
                found.add(int(folder.name))
    return found
