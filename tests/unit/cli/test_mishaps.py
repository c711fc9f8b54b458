"""What goes wrong on a user's machine: each mishap has its message, its exit status, and never a traceback."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.cli.main import main
from sdcpp import project
from sdcpp.errors import (
    CacheUnusable,
    FileInvalid,
    FolderMissing,
    OutputRefused,
    SeriesInvalid,
    StandardOutputLost,
)
from tests.unit.converter.lora_files import pair, save

LONG = "long" * 100
SDCPP = [sys.executable, "-m", "harness"]
BASH = shutil.which("bash") or "/bin/bash"
ENCODINGS = ["utf-8", "ascii", "cp1252", "cp437"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The exit status of a command, and what it printed."""

    status: int
    out: str
    err: str

    def failed(self, status: int, *words: str) -> None:
        """Assert that there is one error, with this status and these words."""
        assert self.status == status, self.err
        assert self.err.count("error: ") == 1, self.err
        assert "Traceback" not in self.err, self.err
        for word in words:
            assert word in self.err, self.err


Command = Callable[..., Result]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs a command line in this process, with an empty cache."""
    monkeypatch.setenv("SDCPP_CACHE", os.fspath(tmp_path / "cache"))

    def run(*words: str | Path) -> Result:
        status = main([os.fspath(word) for word in words])
        shown = capsys.readouterr()
        return Result(status=status, out=shown.out, err=shown.err)

    return run


@pytest.fixture
def sdcpp(cache_folder: Path) -> Command:
    """Return a function that runs a command line of sdcpp in bash, with redirections, if there are any."""

    def run(
        *words: str | Path, redirect: str = "", before: str = "", encoding: str = "utf-8", **env: str
    ) -> Result:
        command = shlex.join([*SDCPP, *(os.fspath(word) for word in words)])
        environment = {**os.environ, "PYTHONPATH": os.fspath(project.PACKAGE.parent)}
        environment |= {
            "PYTHONIOENCODING": encoding,
            "PYTHONUTF8": "0",
            "SDCPP_CACHE": os.fspath(cache_folder),
        }
        done = subprocess.run(
            [BASH, "-c", f"set -o pipefail; {before} {command} {redirect}"],
            env={**environment, **env},
            capture_output=True,
            check=False,
            timeout=60,  # a pipe without a writer, a device without an end
        )
        out, err = done.stdout.decode(encoding), done.stderr.decode(encoding)
        assert "Traceback" not in out + err
        assert "Exception ignored" not in err
        return Result(status=done.returncode, out=out, err=err)

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a LoRA file."""
    return save(tmp_path / "a.safetensors", pair())


# Standard streams


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_any_encoding_can_show_every_command(
    sdcpp: Command, file: Path, tmp_path: Path, encoding: str
) -> None:
    delta = "Δ" if encoding == "utf-8" else "d"
    result = sdcpp("lora", "--help", encoding=encoding)
    assert (result.status, result.err) == (0, "")
    assert f"{delta}W" in result.out
    result = sdcpp("lora", "compare", file, file, encoding=encoding)
    assert (result.status, result.err) == (0, "")
    assert f"{delta}W" in result.out
    result = sdcpp("lora", "inspect", tmp_path / "Δ 漢.gguf", encoding=encoding)
    result.failed(FileInvalid.exit_code, "Δ 漢.gguf" if encoding == "utf-8" else "d \\u6f22.gguf")


@pytest.mark.parametrize("encoding", ["utf-8", "cp437"])
def test_a_file_name_that_is_no_text_can_be_shown(sdcpp: Command, file: Path, encoding: str) -> None:
    odd = file.rename(os.fsdecode(os.fsencode(file.parent) + b"/\xff.safetensors"))
    result = sdcpp("lora", "inspect", odd, "--json", encoding=encoding)
    assert (result.status, result.err) == (0, "")
    result = sdcpp("lora", "inspect", f"{odd}x", encoding=encoding)
    result.failed(FileInvalid.exit_code, "\\udcff.safetensorsx")


@pytest.mark.parametrize(
    ("command", "redirect", "reason"),
    [
        ("--help", ">/dev/full", "(No space left on device)"),
        ("--version", ">/dev/full", "(No space left on device)"),
        ("lora inspect", ">/dev/full", "(No space left on device)"),
        ("doctor", "> >(exec true)", "(Broken pipe)"),
        ("--help", "> >(exec true)", "(Broken pipe)"),
        ("--help", ">&-", "(it is closed)"),
        ("lora inspect", ">&-", "(it is closed)"),
        ("lora inspect", "1</dev/null", "(Bad file descriptor)"),
    ],
)
def test_results_that_are_lost_are_an_error(
    sdcpp: Command, file: Path, command: str, redirect: str, reason: str
) -> None:
    words = [*command.split(), *([file] if command == "lora inspect" else [])]
    result = sdcpp(*words, redirect=redirect)
    result.failed(StandardOutputLost.exit_code, f"results could not be written {reason}: standard output\n  ")


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full", "<&-", "2>&- <&-", "</dev/full"])
def test_messages_that_are_lost_are_no_error(sdcpp: Command, file: Path, redirect: str) -> None:
    result = sdcpp("lora", "inspect", file, redirect=redirect)
    assert (result.status, result.err) == (0, "")
    assert "lora" in result.out
    result = sdcpp("lora", "inspect", f"{file}x", redirect=redirect)
    assert (result.status, result.out) == (FileInvalid.exit_code, "")
    assert sdcpp("no-such-command", redirect=redirect).status == 2


def test_without_any_stream_the_status_still_tells(sdcpp: Command, file: Path) -> None:
    result = sdcpp("lora", "inspect", file, redirect="<&- >&- 2>&-")
    assert (result.status, result.out, result.err) == (StandardOutputLost.exit_code, "", "")


def test_a_command_completes_its_files_although_its_results_are_lost(
    sdcpp: Command, file: Path, tmp_path: Path
) -> None:
    result = sdcpp("lora", "convert", file, tmp_path / "b.gguf", redirect=">/dev/full")
    result.failed(StandardOutputLost.exit_code, "No space left")
    assert sdcpp("lora", "inspect", tmp_path / "b.gguf").status == 0


# Inputs


def commands(path: str | Path, file: Path, output: Path) -> dict[tuple[str | Path, ...], int]:
    """Return command lines that read ``path``, with the exit status for a file that cannot be read."""
    return {
        ("lora", "inspect", path): FileInvalid.exit_code,
        ("lora", "convert", path, output): FileInvalid.exit_code,
        ("lora", "compare", file, path): FileInvalid.exit_code,
        ("lora", "table", path): FileInvalid.exit_code,
        ("lora", "merge", path, file, output): FileInvalid.exit_code,
        ("lora", "merge", file, path, output): FileInvalid.exit_code,
        ("merge", path, "--output", output.parent / "combined"): FileInvalid.exit_code,
        ("verify", "--patch", path, "--output", output.parent / "verify"): SeriesInvalid.exit_code,
    }


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("absent", "No such file"),
        (LONG, "File name too long"),
        ("folder", "Is a directory"),
        ("file/below", "Not a directory"),
        ("loop", "Too many levels of symbolic links"),
        ("fifo", "a pipe or a device"),
        ("/dev/zero", "a pipe or a device"),
        ("/dev/full", "a pipe or a device"),
        ("/dev/stdin", "a pipe or a device"),
    ],
)
def test_an_input_that_cannot_be_read(
    call: Command, tmp_path: Path, file: Path, name: str, reason: str
) -> None:
    path, output = tmp_path / name, tmp_path / "out.gguf"
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    if name == "/dev/stdin" and (not path.exists() or path.is_file()):
        pytest.skip("standard input is a file")
    for words, status in commands(path, file, output).items():
        call(*words).failed(status, reason, "check the path")
        assert not output.exists()
    assert not (tmp_path / "cache" / "logs").exists()


def test_an_input_without_permission(call: Command, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))

    monkeypatch.setattr(Path, "open", refuse)
    call("lora", "inspect", file).failed(FileInvalid.exit_code, f"cannot be read (Permission denied): {file}")


# Outputs


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (f"{LONG}.gguf", "File name too long"),
        (f"{LONG}/b.gguf", "File name too long"),
        ("absent/b.gguf", "No such file or directory"),
        ("a.safetensors/b.gguf", "Not a directory"),
        ("folder.gguf", "the output is a folder"),
        ("device.gguf", "the output is a device or a pipe"),
        ("fifo.gguf", "the output is a device or a pipe"),
        ("a.safetensors", "the output is the input"),
    ],
)
def test_an_output_that_cannot_be_written(
    call: Command, tmp_path: Path, file: Path, name: str, reason: str
) -> None:
    (tmp_path / "folder.gguf").mkdir()
    (tmp_path / "device.gguf").symlink_to("/dev/full")
    os.mkfifo(tmp_path / "fifo.gguf")
    before = sorted(tmp_path.iterdir())
    content = file.read_bytes()
    call("lora", "convert", file, tmp_path / name).failed(OutputRefused.exit_code, reason)
    if name != file.name:
        call("lora", "compare", file, file, "--plot", tmp_path / name).failed(OutputRefused.exit_code, reason)
    assert sorted(tmp_path.iterdir()) == before
    assert file.read_bytes() == content


@pytest.mark.parametrize("command", ["verify", "stability", "merge"])
@pytest.mark.parametrize("name", [LONG, "a.safetensors", "a.safetensors/below", "/dev/full/below"])
def test_an_output_folder_that_cannot_be_made(
    call: Command, tmp_path: Path, file: Path, command: str, name: str
) -> None:
    records = [project.ROOT / "results" / "2026-05-cpu-xeon.jsonl"] if command == "merge" else []
    result = call(command, *records, "--output", tmp_path / name)
    result.failed(OutputRefused.exit_code, "folder cannot be made")
    assert file.is_file()


def test_a_file_that_grows_too_large(sdcpp: Command, tmp_path: Path) -> None:
    big = save(tmp_path / "big.safetensors", pair(rank=64, inner=256))
    result = sdcpp("lora", "convert", big, tmp_path / "b.gguf", before="ulimit -f 1;")
    result.failed(OutputRefused.exit_code, "cannot be written (File too large)", "ulimit -f", "b.gguf")
    assert not list(tmp_path.glob("*b.gguf*"))


@pytest.fixture
def full_disk(tmp_path: Path) -> str:
    """Return what has to stand before a command so that ``full`` in the test's folder is a disk of 64 KiB."""
    disk = tmp_path / "full"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=64k tmpfs {shlex.quote(os.fspath(disk))}"
    unshare = shutil.which("unshare") or "unshare"
    if subprocess.run([unshare, "-rm", BASH, "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    inner = shlex.quote(mount + ' && exec "$@"')
    return f"exec {unshare} -rm {BASH} -c {inner} --"


def test_a_disk_that_gets_full(sdcpp: Command, tmp_path: Path, full_disk: str) -> None:
    big = save(tmp_path / "big.safetensors", pair(rank=64, inner=256))
    result = sdcpp("lora", "convert", big, tmp_path / "full" / "b.gguf", before=full_disk)
    result.failed(OutputRefused.exit_code, "cannot be written (No space left on device)", "free some space")


# The cache


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("file", "this is not a folder"),
        ("file/below", "this is not a folder"),
        ("/dev/full", "this is not a folder"),
        (LONG, "File name too long"),
        ("loop", "cache folder is unknown"),
        ("~no-such-user-here", "cache folder is unknown"),
    ],
)
def test_a_cache_that_cannot_be_used(
    call: Command, file: Path, monkeypatch: pytest.MonkeyPatch, place: str, reason: str
) -> None:
    folder = file.parent
    (folder / "file").write_text("mine", encoding="utf-8")
    (folder / "loop").symlink_to("loop")
    monkeypatch.setenv("SDCPP_CACHE", place if place.startswith("~") else os.fspath(folder / place))
    result = call("lora", "convert", file, folder / "b.gguf", "--type", "Q8_0")
    result.failed(CacheUnusable.exit_code, reason, "use another cache with SDCPP_CACHE=FOLDER")
    assert (folder / "file").read_text(encoding="utf-8") == "mine"
    assert call("lora", "inspect", file).status == 0  # needs none


# The machine


def test_a_current_folder_that_was_removed(sdcpp: Command, file: Path, tmp_path: Path) -> None:
    before = f"mkdir {tmp_path}/gone && cd {tmp_path}/gone && rmdir {tmp_path}/gone;"
    result = sdcpp("lora", "inspect", file, before=before)
    result.failed(
        FolderMissing.exit_code, f"the current folder was removed: {tmp_path}/gone", "change to another"
    )
    assert sdcpp("--help", before=before).status == 0


def test_a_home_folder_and_a_temporary_folder_that_are_missing(
    sdcpp: Command, file: Path, tmp_path: Path
) -> None:
    before = "unset HOME; export TMPDIR=/no/such/folder;"
    for words in (("doctor",), ("lora", "convert", file, tmp_path / "b.gguf")):
        result = sdcpp(*words, before=before)
        assert (result.status, result.err) == (0, ""), words


@pytest.mark.parametrize("number", ["-3", "0", "many", "1.5"])
@pytest.mark.parametrize("command", ["verify", "stability", "build"])
def test_a_number_of_jobs_below_one_is_refused(
    capsys: pytest.CaptureFixture[str], command: str, number: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--jobs", number])
    assert ended.value.code == 2
    assert f"argument --jobs: {number!r} is not a whole number of 1 or more" in capsys.readouterr().err
