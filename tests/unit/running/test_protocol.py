from __future__ import annotations

from dataclasses import replace

from harness.running.protocol import ShotReply
from sdcpp.binding.api.interface import Picture


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
    crash = replace(reply, outcome="crashed", picture=None, signal="SIGABRT", text="why")
    assert ShotReply.from_line(crash.line()) == crash
