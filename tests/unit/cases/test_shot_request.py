from __future__ import annotations

from pathlib import Path

from harness.cases.shot_request import ShotRequest
from sdcpp.binding.api.interface import Lora


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
