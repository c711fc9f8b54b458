from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cases.shot_request import ShotRequest
from harness.running.protocol import CLOSED, CLOSING, OPENED, READY, ShotReply
from harness.running.worker import ShotRunner
from sdcpp.binding.api.context import NativeContext
from sdcpp.binding.api.interface import Lora, Picture
from sdcpp.binding.build_folder import Build
from sdcpp.errors import LibraryUnusable

GENERATION = {"prompt": "a cat", "width": 8, "height": 4, "steps": 1, "seed": 1}


@pytest.fixture
def request_of_nothing(model: Path, tmp_path: Path) -> ShotRequest:
    """Return a request for a picture without an adapter."""
    return ShotRequest(
        files={"model": model},
        mode="at_runtime",
        lora_dir=tmp_path,
        fresh=False,
        sequence=((),),
        generation=GENERATION,
    )


class Recorder(ShotRunner):
    """A runner that makes pictures in this process, and the outcomes of the replies on the way."""

    def __init__(self, build: Build, *, forks: bool = False) -> None:
        self.sent: list[str] = []
        super().__init__(
            build.folder, "cpu", 1, forks=forks, send=lambda reply: self.sent.append(reply.outcome)
        )


def shade(reply: ShotReply) -> float:
    """Return the mean grey level of the picture of a reply."""
    assert reply.picture is not None, reply
    return sum(reply.picture.data) / len(reply.picture.data)


def test_a_picture_has_its_times_its_log_and_its_backend(
    fake_build: Callable[..., Build], request_of_nothing: ShotRequest
) -> None:
    runner = Recorder(fake_build("C"))
    reply = runner.run(request_of_nothing)
    assert (reply.outcome, reply.backend, reply.complaints) == ("picture", "cpu", 0)
    assert set(reply.seconds) == {"open", "generate"}
    assert reply.memory > 1 << 20
    assert runner.sent == [OPENED]


def test_the_last_picture_of_a_sequence_is_the_answer(
    fake_build: Callable[..., Build], request_of_nothing: ShotRequest, tmp_path: Path
) -> None:
    (tmp_path / "x.safetensors").touch()
    runner = Recorder(fake_build("C"))
    plain = shade(runner.run(request_of_nothing))
    uses = (Lora(path=tmp_path / "x.safetensors", multiplier=2.0),)
    assert shade(runner.run(replace(request_of_nothing, sequence=((), uses)))) == plain + 32
    assert shade(runner.run(replace(request_of_nothing, sequence=(uses, ())))) == plain


def opened(runner: Recorder, request: ShotRequest) -> bool:
    """Run a request and tell whether another context was opened for it."""
    before = runner._context
    runner.run(request)
    return runner._context is not before


def test_a_context_is_used_again_unless_the_request_differs_or_wants_a_fresh_one(
    fake_build: Callable[..., Build], request_of_nothing: ShotRequest, tmp_path: Path
) -> None:
    runner = Recorder(fake_build("C"))
    fresh = replace(request_of_nothing, fresh=True)
    assert opened(runner, fresh)
    assert not opened(runner, request_of_nothing)
    assert opened(runner, fresh)
    assert opened(runner, replace(request_of_nothing, mode="auto"))
    assert opened(runner, replace(request_of_nothing, lora_dir=tmp_path / "other"))
    assert opened(runner, replace(request_of_nothing, flags=("diffusion_flash_attn",)))


def test_several_contexts_make_the_pictures_of_a_sequence_in_turn(
    fake_build: Callable[..., Build], request_of_nothing: ShotRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = Recorder(fake_build("C"))
    made: list[NativeContext] = []

    def generate(context: NativeContext, _: object) -> Picture:
        made.append(context)
        return Picture(width=1, height=1, channels=1, data=b"x")

    monkeypatch.setattr(NativeContext, "generate", generate)
    runner.run(replace(request_of_nothing, sequence=((),) * 4, contexts=2))
    assert made[0] is made[2] is runner._context
    assert made[1] is made[3] is not made[0]


def test_a_library_that_changes_its_model_files_spoils_only_a_copy(
    fake_build: Callable[..., Build],
    request_of_nothing: ShotRequest,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runner = Recorder(fake_build("C"))
    mapped = replace(request_of_nothing, flags=("enable_mmap",))
    assert runner.run(mapped).outcome == "picture"
    monkeypatch.setenv("FAKE_SPOIL", "1")
    spoiled = runner.run(mapped)
    assert (spoiled.outcome, spoiled.text) == ("spoiled", "the library changed its model files: model.gguf")
    assert model.read_bytes() == b"model"
    runner._close()


@pytest.mark.skipif(sys.platform != "linux", reason="pictures are made in forks on Linux only")
def test_with_forks_every_picture_starts_from_the_opened_context(
    fake_build: Callable[..., Build], request_of_nothing: ShotRequest
) -> None:
    plain = Recorder(fake_build("C")).run(request_of_nothing)
    runner = Recorder(fake_build("C"), forks=True)
    assert opened(runner, request_of_nothing)
    assert not opened(runner, replace(request_of_nothing, fresh=True))
    assert runner.run(request_of_nothing).picture == plain.picture
    assert runner.sent == [OPENED] * 3
    runner.run(replace(request_of_nothing, mode="auto"))
    assert runner.sent[3:] == [CLOSING, CLOSED, OPENED]


def test_what_goes_wrong_is_an_outcome_and_the_next_request_is_served(
    fake_build: Callable[..., Build], request_of_nothing: ShotRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = Recorder(fake_build("C"))
    for place in ("open", "generate"):
        with monkeypatch.context() as steered:
            steered.setenv("FAKE_NULL", place)
            refused = runner.run(replace(request_of_nothing, fresh=True))
        assert refused.outcome == "refused"
        assert refused.complaints > 0
        assert any("told to refuse" in line for line in refused.log)
        assert runner.run(request_of_nothing).outcome == "picture"
    with monkeypatch.context() as steered:
        steered.setenv("FAKE_BACKEND", "CUDA")
        steered.setenv("FAKE_DEVICES", "CUDA0")
        misdirected = runner.run(replace(request_of_nothing, fresh=True))
    assert misdirected.outcome == "misdirected"
    assert runner.run(replace(request_of_nothing, mode="sometimes")).outcome == "failed"
    assert runner.run(request_of_nothing).outcome == "picture"


@pytest.mark.parametrize(
    "forks", [False, pytest.param(True, marks=pytest.mark.skipif(sys.platform != "linux", reason="forks"))]
)
def test_a_mistake_of_the_worker_is_no_crash_of_the_library(
    fake_build: Callable[..., Build], request_of_nothing: ShotRequest, *, forks: bool
) -> None:
    runner = Recorder(fake_build("C"), forks=forks)
    reply = runner.run(replace(request_of_nothing, generation={"nonsense": 1}))
    assert reply.outcome == "failed"
    assert "TypeError" in reply.text
    assert runner.run(request_of_nothing).outcome == "picture"


def test_the_program_says_when_it_is_ready_and_answers_each_line(
    fake_build: Callable[..., Build], request_of_nothing: ShotRequest
) -> None:
    words: list[str | Path] = [sys.executable, "-m", "harness.running.worker", fake_build("C").folder]
    lines = 2 * request_of_nothing.line()
    done = subprocess.run([*words, "cpu", "1"], input=lines, capture_output=True, check=True)
    replies = [ShotReply.from_line(line) for line in done.stdout.splitlines(keepends=True)]
    assert [reply.outcome for reply in replies] == [READY, OPENED, "picture", OPENED, "picture"]


def test_a_library_that_cannot_be_loaded_is_the_only_reply(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "harness.running.worker", str(tmp_path), "cpu", "1"]
    done = subprocess.run(words, input=b"", capture_output=True, check=False)
    [line] = done.stdout.splitlines()
    assert ShotReply.from_line(line).outcome == "failed"
    assert done.returncode == LibraryUnusable.exit_code
