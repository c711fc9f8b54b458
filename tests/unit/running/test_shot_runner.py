from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cases.shot_request import ShotRequest
from harness.running.protocol import OPENED, ShotReply
from harness.running.shot_runner import ShotRunner
from sdcpp.binding.api.context import NativeContext
from sdcpp.binding.api.interface import Lora, Picture
from sdcpp.binding.build_folder import Build


def make_runner(build: Build) -> ShotRunner:
    """Return a runner that makes pictures in this process."""
    return ShotRunner(build.folder, "cpu", 1)


def run(runner: ShotRunner, request: ShotRequest) -> ShotReply:
    """Return the reply with the picture, or the one that says why there is none."""
    opening = runner.open(request)
    return runner.make(request, opening) if opening.outcome == OPENED else opening


def shade(reply: ShotReply) -> float:
    """Return the mean grey level of the picture of a reply."""
    assert reply.picture is not None, reply
    return sum(reply.picture.data) / len(reply.picture.data)


def test_a_picture_has_its_times_its_log_and_its_backend(
    fake_build: Callable[..., Build], request_of_nothing: ShotRequest
) -> None:
    runner = make_runner(fake_build("C"))
    reply = run(runner, request_of_nothing)
    assert (reply.outcome, reply.backend, reply.complaints) == ("picture", "cpu", 0)
    assert set(reply.seconds) == {"open", "generate"}
    assert reply.memory > 1 << 20


def test_the_last_picture_of_a_sequence_is_the_answer(
    fake_build: Callable[..., Build], request_of_nothing: ShotRequest, tmp_path: Path
) -> None:
    (tmp_path / "x.safetensors").touch()
    runner = make_runner(fake_build("C"))
    plain = shade(run(runner, request_of_nothing))
    uses = (Lora(path=tmp_path / "x.safetensors", multiplier=2.0),)
    assert shade(run(runner, replace(request_of_nothing, sequence=((), uses)))) == plain + 32
    assert shade(run(runner, replace(request_of_nothing, sequence=(uses, ())))) == plain


def opened(runner: ShotRunner, request: ShotRequest) -> bool:
    """Run a request and tell whether another context was opened for it."""
    before = runner._context
    run(runner, request)
    return runner._context is not before


def test_a_context_is_used_again_unless_the_request_differs_or_wants_a_fresh_one(
    fake_build: Callable[..., Build], request_of_nothing: ShotRequest, tmp_path: Path
) -> None:
    runner = make_runner(fake_build("C"))
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
    runner = make_runner(fake_build("C"))
    made: list[NativeContext] = []

    def generate(context: NativeContext, _: object) -> Picture:
        made.append(context)
        return Picture(width=1, height=1, channels=1, data=b"x")

    monkeypatch.setattr(NativeContext, "generate", generate)
    run(runner, replace(request_of_nothing, sequence=((),) * 4, contexts=2))
    assert made[0] is made[2] is runner._context
    assert made[1] is made[3] is not made[0]


def test_a_library_that_changes_its_model_files_spoils_only_a_copy(
    fake_build: Callable[..., Build],
    request_of_nothing: ShotRequest,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runner = make_runner(fake_build("C"))
    mapped = replace(request_of_nothing, flags=("enable_mmap",))
    assert run(runner, mapped).outcome == "picture"
    monkeypatch.setenv("FAKE_SPOIL", "1")
    spoiled = run(runner, mapped)
    assert (spoiled.outcome, spoiled.text) == ("spoiled", "the library changed its model files: model.gguf")
    assert model.read_bytes() == b"model"
    runner.close()


def test_what_goes_wrong_is_an_outcome_and_the_next_request_is_served(
    fake_build: Callable[..., Build], request_of_nothing: ShotRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = make_runner(fake_build("C"))
    for place in ("open", "generate"):
        with monkeypatch.context() as steered:
            steered.setenv("FAKE_NULL", place)
            refused = run(runner, replace(request_of_nothing, fresh=True))
        assert refused.outcome == "refused"
        assert refused.complaints > 0
        assert any("told to refuse" in line for line in refused.log)
        assert run(runner, request_of_nothing).outcome == "picture"
    with monkeypatch.context() as steered:
        steered.setenv("FAKE_BACKEND", "CUDA")
        steered.setenv("FAKE_DEVICES", "CUDA0")
        misdirected = run(runner, replace(request_of_nothing, fresh=True))
    assert misdirected.outcome == "misdirected"
    assert run(runner, replace(request_of_nothing, mode="sometimes")).outcome == "failed"
    assert run(runner, request_of_nothing).outcome == "picture"


def test_a_mistake_of_the_worker_is_no_crash_of_the_library(
    fake_build: Callable[..., Build], request_of_nothing: ShotRequest
) -> None:
    runner = make_runner(fake_build("C"))
    reply = run(runner, replace(request_of_nothing, generation={"nonsense": 1}))
    assert reply.outcome == "failed"
    assert "TypeError" in reply.text
    assert run(runner, request_of_nothing).outcome == "picture"
