from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.cases.shot_request import ShotRequest
from harness.running.protocol import ShotReply
from sdcpp.binding.api.interface import Lora, Picture


def test_requests_survive_the_pipe() -> None:
    request = ShotRequest(
        files={"model": Path("a b.gguf")},
        mode="auto",
        lora_dir=Path("/adapters"),
        fresh=True,
        sequence=((), (Lora(path=Path("/adapters/é.gguf"), multiplier=0.1), Lora(path=Path("/adapters/\n")))),
        generation={"prompt": "a\nb", "seed": 2**40, "cfg_scale": 1.0},
    )
    line = request.line()
    assert line.index(b"\n") == len(line) - 1
    assert ShotRequest.from_line(line) == request


def test_replies_survive_the_pipe() -> None:
    reply = ShotReply(
        outcome="picture",
        picture=Picture(width=2, height=1, channels=3, data=bytes(range(250, 256))),
        backend="cpu",
        log=("one", "two\n"),
        seconds={"open": 0.1},
        processor=0.2,
        memory=3,
        complaints=4,
    )
    assert ShotReply.from_line(reply.line()) == reply
    crash = replace(reply, outcome="crashed", picture=None, signal="SIGABRT", text="why", while_closing=True)
    assert ShotReply.from_line(crash.line()) == crash
