from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.adapters.adapter_file import AdapterFile
from harness.adapters.use import Use
from harness.cases import upstream_command
from harness.cases.case import Case, Shot
from harness.cases.settings import FLAGS, ContextSettings, GenerationSettings, init_image, reference_image
from harness.cases.shot_request import ShotRequest
from harness.records.pictures import png
from sdcpp.binding.api.interface import Lora
from tests.unit.fake_models import ADAPTER, BASE

pytestmark = pytest.mark.usefixtures("cache_folder")

FILE = AdapterFile(base=BASE, adapter=ADAPTER, container="gguf", kind="F16")
USE = Use(file=FILE, multiplier=0.5)
WITHOUT = Shot(base=BASE, mode="auto")


@pytest.fixture
def case() -> Case:
    """Return a case of one adapter, with its references."""
    shot = replace(WITHOUT, sequence=((USE,),))
    dimensions = {"base": BASE.name, "mode": "auto"}
    wanted = replace(WITHOUT, merged=(USE,))
    return Case(name="c", shot=shot, without=WITHOUT, wanted=wanted, dimensions=dimensions)


def test_arguments_are_those_of_the_request() -> None:
    folder = Path("/loras")
    request = ShotRequest(
        files={"diffusion_model": Path("/m/flux.gguf"), "clip_l": Path("/m/clip.gguf")},
        mode="immediately",
        lora_dir=folder,
        fresh=False,
        sequence=((Lora(path=folder / "sub" / "a.gguf", multiplier=-0.25), Lora(path=folder / "b.ckpt")),),
        generation={"prompt": "a cat", "width": 64, "clip_skip": 0, "cfg_scale": 1.0, "seed": 7},
    )
    found = upstream_command.program_arguments("sd-cli", request, "x.png")
    assert found == [
        *("sd-cli", "--diffusion-model", "/m/flux.gguf", "--clip_l", "/m/clip.gguf"),
        *("--width", "64", "--cfg-scale", "1.0", "--seed", "7"),
        *("--sampling-method", "euler", "--scheduler", "discrete"),
        *("--prompt", "a cat<lora:sub/a:-0.25><lora:b:1>"),
        *("--lora-model-dir", "/loras", "--lora-apply-mode", "immediately", "--output", "x.png"),
    ]


def test_a_video_has_one_frame() -> None:
    request = ShotRequest(
        files={"model": Path("/m/wan.gguf")},
        mode="auto",
        lora_dir=Path("/loras"),
        fresh=False,
        sequence=((),),
        generation={"prompt": "a cat", "video": True, "seed": 7},
    )
    found = upstream_command.program_arguments("sd-cli", request, "x.png")
    assert found[3:9] == ["--mode", "vid_gen", "--video-frames", "1", "--seed", "7"]


def test_the_commands_of_a_case_name_the_files_that_are_written_beside_them(
    case: Case, tmp_path: Path
) -> None:
    written = upstream_command.write(case, tmp_path)
    names = {path.relative_to(tmp_path).as_posix() for path in written}
    assert FILE.path.name in names
    assert (tmp_path / FILE.path.name).read_bytes() == FILE.path.read_bytes()
    commands = upstream_command.commands(case, "C")
    assert list(commands) == ["without", "wanted", "got"]
    for picture, command in commands.items():
        words = shlex.split(command)
        assert (words[0], words[-1]) == ("./sd-cli", f"{picture}.png")
        for option in ("--model", "--diffusion-model"):
            if option in words:
                assert words[words.index(option) + 1] in names
        assert (f"<lora:{FILE.path.stem}:0.5>" in command) == (picture == "got")
        assert ("merged-" in command) == (picture == "wanted")
    assert upstream_command.command(case, "C") == commands["got"]
    assert upstream_command.command(case, "B").startswith("./sd ")
    assert upstream_command.command(case, "C", "theirs").startswith("./theirs ")
    assert all(c.startswith("./theirs ") for c in upstream_command.commands(case, "A", "theirs").values())


def test_what_upstreams_program_cannot_do_has_no_command(case: Case) -> None:
    twice = replace(case, shot=replace(case.shot, sequence=((USE,), ())))
    assert upstream_command.command(twice, "C") == ""
    assert list(upstream_command.commands(twice, "C")) == ["without", "wanted"]
    assert upstream_command.command(case, "A") == ""
    assert upstream_command.commands(case, "A") == {}


def test_a_case_with_other_settings_has_the_options_of_the_program(case: Case, tmp_path: Path) -> None:
    flagged = replace(USE, is_high_noise=True)
    shot = replace(
        case.shot,
        sequence=((flagged,),),
        generation=GenerationSettings(
            steps=3, negative_prompt="fog, rain", batch_count=2, seed=7, strength=0.5, ref_image=True
        ),
        context=ContextSettings(**dict.fromkeys(FLAGS, True)),
    )
    words = shlex.split(upstream_command.command(replace(case, shot=shot), "C"))
    options = {"--steps": "3", "--negative-prompt": "fog, rain", "--batch-count": "2", "--seed": "7"}
    options |= {"--strength": "0.5", "--init-img": "init.png", "--ref-image": "reference.png"}
    for option, value in options.items():
        assert words.count(option) == 1
        assert words[words.index(option) + 1] == value
    assert {"--offload-to-cpu", "--clip-on-cpu", "--mmap", "--diffusion-fa"} <= set(words)
    assert words[words.index("--prompt") + 1].endswith(f"<lora:|high_noise|{FILE.path.stem}:0.5>")
    written = upstream_command.write(replace(case, shot=shot), tmp_path)
    assert {tmp_path / "init.png", tmp_path / "reference.png"} <= set(written)
    for name, picture in (("init", init_image), ("reference", reference_image)):
        data = picture(BASE.width, BASE.height).data
        pixels = np.frombuffer(data, np.uint8).reshape(BASE.height, BASE.width, 3)
        assert (tmp_path / f"{name}.png").read_bytes() == png(pixels)


def test_a_second_context_is_refused_with_the_reason(case: Case) -> None:
    shot = replace(case.shot, sequence=((USE,), (USE,)), context=ContextSettings(contexts=2))
    second = replace(case, shot=shot)
    assert upstream_command.command(second, "C") == ""
    assert "several contexts" in upstream_command.why_none(second)
    assert upstream_command.why_none(case) == ""
