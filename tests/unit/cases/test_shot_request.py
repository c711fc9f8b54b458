from __future__ import annotations

from pathlib import Path

from harness.cases.shot_request import ShotRequest
from sdcpp.binding.api.interface import Lora


def test_a_request_survives_the_line_to_a_worker() -> None:
    request = ShotRequest(
        files={"model": Path("/models/a b.gguf"), "taesd": Path("ä.safetensors")},
        mode="at_runtime",
        lora_dir=Path("/loras"),
        fresh=True,
        sequence=((), (Lora(path=Path("/loras/x\ny.gguf"), multiplier=-0.1), Lora(path=Path("z")))),
        generation={"prompt": "a\ncat", "width": 64, "cfg_scale": 1.5, "seed": 42},
    )
    line = request.line()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert ShotRequest.from_line(line) == request
