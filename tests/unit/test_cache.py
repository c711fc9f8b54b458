from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import platformdirs
import pytest

from sdcpp import cache
from sdcpp.errors import CacheBusy, CacheUnusable


def start(program: str, *words: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(os.fspath, words)], stdout=subprocess.PIPE, text=True
    )


def test_the_root_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.VARIABLE, os.fspath(tmp_path / "here"))
    assert cache.root() == tmp_path / "here"
    monkeypatch.delenv(cache.VARIABLE)
    assert "sdcpp-lora-harness" in os.fspath(cache.root())


def test_an_entry_is_made_once(tmp_path: Path) -> None:
    calls = []

    def make(path: Path) -> None:
        calls.append(path)
        (path / "file").write_text("whole")

    for _ in range(2):
        assert (cache.get_or_create(tmp_path / "entry", make) / "file").read_text() == "whole"
    assert len(calls) == 1


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def make(path: Path) -> None:
        (path / "file").write_text("half")
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        cache.get_or_create(tmp_path / "entry", make)
    assert [item.name for item in tmp_path.iterdir() if item.suffix != ".lock"] == []


def test_killed_in_the_middle_leaves_no_entry(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from sdcpp import cache
def make(path):
    (path / "file").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
cache.get_or_create(Path(sys.argv[1]), make)
"""
    with start(program, tmp_path / "entry") as killed:
        assert killed.wait() == -signal.SIGKILL
    assert not (tmp_path / "entry").exists()
    assert list(tmp_path.glob(".entry.*.partial"))
    cache.get_or_create(tmp_path / "entry", lambda path: (path / "file").touch())
    assert (tmp_path / "entry" / "file").exists()
    assert not list(tmp_path.glob(".entry.*.partial"))


def test_killed_while_it_removes_an_entry_leaves_none_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = cache.get_or_create(tmp_path / "entry", lambda partial: (partial / "a").touch())
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", lambda path, **_: _interrupt() if path.exists() else None)
        with pytest.raises(KeyboardInterrupt):
            cache.remove(entry)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".entry.removed.partial", "entry.lock"]
    cache.get_or_create(entry, lambda partial: (partial / "b").touch())
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["b", "entry", "entry.lock"]
    cache.remove(entry)
    assert not list(tmp_path.iterdir())


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_two_processes_make_it_once(tmp_path: Path) -> None:
    program = """
import sys, time
from pathlib import Path
from sdcpp import cache
def make(path):
    with open(sys.argv[2], "a") as file:
        file.write("made\\n")
    time.sleep(0.3)
    (path / "file").write_text("whole")
print((cache.get_or_create(Path(sys.argv[1]), make) / "file").read_text())
"""
    both = [start(program, tmp_path / "entry", tmp_path / "log") for _ in range(2)]
    assert [process.communicate()[0] for process in both] == ["whole\n", "whole\n"]
    assert (tmp_path / "log").read_text() == "made\n"


def test_a_lock_that_is_held_too_long_is_an_error_and_dies_with_its_holder(tmp_path: Path) -> None:
    program = """
import sys, time
from pathlib import Path
from sdcpp import cache
with cache.lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
    with start(program, tmp_path / "entry") as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(CacheBusy, match="locked by another process"), cache.lock(tmp_path / "entry", 0.1):
            pass
        holder.kill()
        holder.wait()
    with cache.lock(tmp_path / "entry", patience=0):  # raises CacheBusy if the dead holder still has it
        pass


def test_a_program_inherits_the_locks_of_the_thread_that_starts_it(tmp_path: Path) -> None:
    with cache.lock(tmp_path / "entry"), ThreadPoolExecutor() as pool:
        assert len(cache.lock_descriptors()) == (os.name == "posix")
        assert pool.submit(cache.lock_descriptors).result() == ()
    assert cache.lock_descriptors() == ()


def test_a_program_that_outlives_its_killed_parent_keeps_the_lock(tmp_path: Path) -> None:
    running, stop = tmp_path / "running", tmp_path / "stop"
    program = """
import sys, time
from pathlib import Path
Path(sys.argv[1]).touch()
while not Path(sys.argv[2]).exists():
    time.sleep(0.01)
"""
    script = """
import sys
from pathlib import Path
from sdcpp import cache, process
with cache.lock(Path(sys.argv[1])):
    process.run([sys.executable, "-c", *sys.argv[2:]], quiet=True)
"""
    parent = subprocess.Popen([sys.executable, "-c", script, tmp_path / "entry", program, running, stop])
    try:
        while parent.poll() is None and not running.exists():
            time.sleep(0.01)
        parent.kill()
        parent.wait()
        with pytest.raises(CacheBusy), cache.lock(tmp_path / "entry", patience=0.1):
            pass
    finally:
        stop.touch()
    with cache.lock(tmp_path / "entry", patience=20):
        pass


def test_the_longest_unused_entries_go_first(tmp_path: Path) -> None:
    for number, name in enumerate(("oldest", "older", "newest")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(bytes(100))
        os.utime(tmp_path / name, (number, number))
    (tmp_path / ".oldest.partial").mkdir()
    cache.evict_oldest(tmp_path / "oldest", 250)
    assert {path.name for path in tmp_path.iterdir()} == {".oldest.partial", "oldest", "newest"}
    cache.evict_oldest(tmp_path / "newest", 10)
    assert {path.name for path in tmp_path.iterdir()} == {".oldest.partial", "oldest", "newest"}
    os.utime(tmp_path / "oldest", (1, 1))
    cache.evict_oldest(tmp_path / "newest", 10)
    assert {path.name for path in tmp_path.iterdir()} == {".oldest.partial", "newest"}


@pytest.mark.parametrize("below", ["", "cache", "deep/er"])
def test_a_file_in_place_of_the_cache_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    taken = tmp_path / "file"
    taken.write_text("mine", encoding="utf-8")
    monkeypatch.setenv(cache.VARIABLE, os.fspath(taken / below))
    with pytest.raises(
        CacheUnusable, match=f"is not a folder: {taken}\n  use another cache with SDCPP_CACHE"
    ):
        cache.root()
    for use in (cache.lock(taken / below / "entry"), cache.lock(taken / below / "builds" / "entry")):
        with pytest.raises(CacheUnusable), use:
            pass
    with pytest.raises(CacheUnusable):
        cache.get_or_create(taken / below / "entry", lambda _: None)


def test_a_cache_path_that_no_folder_can_have_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for wrong, words in (
        (tmp_path / ("long" * 100), "File name too long"),
        (loop, "cache folder is unknown"),
        (Path("~no-such-user-here/cache"), "cache folder is unknown"),
    ):
        monkeypatch.setenv(cache.VARIABLE, os.fspath(wrong))
        with pytest.raises(CacheUnusable, match=words):
            cache.root()


def test_without_a_home_folder_the_cache_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cache.VARIABLE, raising=False)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: Path("~") / name)
    with pytest.raises(
        CacheUnusable, match=r"no home folder.*: ~\n  use another cache with SDCPP_CACHE=FOLDER"
    ):
        cache.root()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
def test_what_the_disk_refuses_names_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    entry = tmp_path / "cache" / "entry"

    def fail(name: str | None) -> Callable[..., None]:
        def raise_it(*_: object, **__: object) -> None:
            raise OSError(number, os.strerror(number), name)

        return raise_it

    for name in (os.fspath(entry.parent / "half"), None):  # None: of a write to an open file
        with pytest.raises(CacheUnusable, match=f"{os.strerror(number)}.*{entry.parent}") as caught:
            cache.get_or_create(entry, fail(name))
        assert cache.VARIABLE in caught.value.remedy
    with pytest.raises(OSError, match="elsewhere") as other:  # a file that is not in the cache
        cache.get_or_create(entry, fail("/elsewhere/file"))
    assert not isinstance(other.value, CacheUnusable)
    assert [path.name for path in entry.parent.iterdir()] == ["entry.lock"]
    monkeypatch.setattr(Path, "mkdir", fail(os.fspath(entry.parent)))
    with pytest.raises(CacheUnusable, match=os.strerror(number)), cache.lock(entry):
        pass


def test_a_bug_in_what_creates_an_entry_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        cache.get_or_create(tmp_path / "entry", lambda partial: (partial / "a" / "b").touch())


def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def acquire(*_: object, **__: object) -> None:
        raise NotImplementedError("no flock")

    monkeypatch.setattr("filelock.FileLock.acquire", acquire)
    with pytest.raises(CacheUnusable, match=r"cannot be locked \(no flock\)"), cache.lock(tmp_path / "entry"):
        pass


def test_an_entry_that_cannot_be_marked_as_used_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), os.fspath(tmp_path))

    (tmp_path / "entry").mkdir()
    monkeypatch.setattr(os, "utime", refuse)
    cache.evict_oldest(tmp_path / "entry", 0)
    assert (tmp_path / "entry").is_dir()
