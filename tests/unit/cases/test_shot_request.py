from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.cases.shot_request import ShotRequest
from sdcpp.binding.api.interface import Lora, Picture


def test_requests_survive_the_pipe() -> None:
    request = ShotRequest(
        files={"model": Path("a b.gguf")},
        mode="auto",
        lora_dir=Path("/adapters"),
        fresh=True,
        sequence=(
            (),
            (
                Lora(path=Path("/adapters/é.gguf"), multiplier=0.1),
                Lora(path=Path("/adapters/\n"), is_high_noise=True),
            ),
        ),
        generation={"prompt": "a\nb", "seed": 2**40, "cfg_scale": 1.0},
        init_image=Picture(width=2, height=1, channels=1, data=b"\n\xff"),
        ref_images=(Picture(width=1, height=2, channels=1, data=b"\x00\x80"),),
        flags=("enable_mmap",),
        contexts=2,
        counters="counters/1",
    )
    line = request.line()
    assert line.index(b"\n") == len(line) - 1
    assert ShotRequest.from_line(line) == request


def test_a_context_encodes_pictures_for_img2img_and_for_reference_pictures_only() -> None:
    plain = ShotRequest(
        files={},
        mode="auto",
        lora_dir=Path(),
        fresh=False,
        sequence=((),),
        generation={},
        flags=("enable_mmap",),
    )
    assert plain.options == {"enable_mmap": True}
    start = Picture(width=1, height=1, channels=1, data=b"x")
    for encoding in (replace(plain, init_image=start), replace(plain, ref_images=(start,))):
        assert encoding.options == {"vae_decode_only": False, "enable_mmap": True}
