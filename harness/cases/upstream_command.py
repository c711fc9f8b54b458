"""Reproduce a case with upstream's own program: its command lines, and the files that they need."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.cases.case import SEED, Case, Shot
from harness.cases.malformed_file_case import MalformedFileCase
from harness.cases.shot_request import ShotRequest
from harness.records.pictures import png
from sdcpp import atomic_write
from sdcpp.binding.api.lora_tags import HIGH_NOISE
from sdcpp.process import quoted

#: The name of upstream's program, by generation of the LoRA API, where its options are those below
#: (tests/regress/test_reproduction.py checks that). Upstream renamed it in 2025-12.
PROGRAMS = {"B": "sd", "C": "sd-cli"}
#: The program's options for the files, the generation parameters and the flags of ``Shot.request``.
_FILE_OPTIONS = {
    "model": "--model",
    "diffusion_model": "--diffusion-model",
    "high_noise_diffusion_model": "--high-noise-diffusion-model",
    "clip_l": "--clip_l",
    "clip_g": "--clip_g",
    "clip_vision": "--clip_vision",
    "t5xxl": "--t5xxl",
    "llm": "--llm",
    "llm_vision": "--llm_vision",
    "vae": "--vae",
    "taesd": "--taesd",
}
_GENERATION_OPTIONS = {
    "width": "--width",
    "height": "--height",
    "steps": "--steps",
    "cfg_scale": "--cfg-scale",
    "clip_skip": "--clip-skip",
    "seed": "--seed",
    "negative_prompt": "--negative-prompt",
    "batch_count": "--batch-count",
    "strength": "--strength",
}
_FLAG_OPTIONS = {
    "offload_params_to_cpu": ("--offload-to-cpu",),
    "keep_clip_on_cpu": ("--clip-on-cpu",),
    "enable_mmap": ("--mmap",),
    "diffusion_flash_attn": ("--diffusion-fa",),
    # The program always frees the weights as soon as it no longer needs them.
    "free_params_immediately": (),
    "circular_x": ("--circularx",),
}
#: The names of the file that img2img starts from, and of the one that the model edits, in the folder of the commands.
INIT_IMAGE, REFERENCE_IMAGE = "init.png", "reference.png"


def program_arguments(program: str, request: ShotRequest, picture: str) -> list[str]:
    """Return the command line that makes one picture, for a request of ``Shot.request``.

    ``picture`` is the path of the PNG file to write.
    """
    arguments = [program]
    for role, path in request.files.items():
        arguments += [_FILE_OPTIONS[role], str(path)]
    parameters = dict(request.generation)
    prompt = parameters.pop("prompt")
    for lora in request.sequence[0]:
        name = lora.path.relative_to(request.lora_dir).with_suffix("").as_posix()
        prompt += f"<lora:{HIGH_NOISE if lora.is_high_noise else ''}{name}:{lora.multiplier:g}>"
    for name, value in parameters.items():
        if name == "video":
            # One frame is written as a picture.
            arguments += ["--mode", "vid_gen", "--video-frames", "1"]
        elif value or name != "clip_skip":
            arguments += [_GENERATION_OPTIONS[name], str(value)]
    arguments += ["--sampling-method", "euler", "--scheduler", "discrete", "--prompt", prompt]
    arguments += ["--lora-model-dir", str(request.lora_dir), "--lora-apply-mode", request.mode]
    if request.init_image:
        arguments += ["--init-img", INIT_IMAGE]
    if request.ref_images:
        arguments += ["--ref-image", REFERENCE_IMAGE]
    for flag in request.flags:
        arguments += _FLAG_OPTIONS[flag]
    return [*arguments, "--output", picture]


def command(case: Case | MalformedFileCase, generation: str, program: str = "") -> str:
    """Return the shell command that reproduces a case in the folder that ``write`` fills, or "" if there is none.

    ``program`` is the name of a fork's program, which must have the options of upstream's. There is no command for a
    case that ``why_none`` refuses.
    """
    program = program or PROGRAMS.get(generation, "")
    return _command(case.shot, program, "got") if program and not why_none(case) else ""


def why_none(case: Case | MalformedFileCase) -> str:
    """Return the reason why no command of upstream's program can make the picture of a case, or "" if one can."""
    if case.shot.context.contexts > 1:
        return "the case needs several contexts in one process, which upstream's program cannot open"
    if len(case.shot.sequence) > 1:
        return "the case needs several pictures in one context, which upstream's program cannot make"
    return ""


def commands(case: Case | MalformedFileCase, generation: str, program: str = "") -> dict[str, str]:
    """Return the shell commands for the pictures that a case compares, by "without", "wanted" and "got".

    A picture that the program cannot make is missing from the result. The arguments are those of ``command``.
    """
    program = program or PROGRAMS.get(generation, "")
    if not program:
        return {}
    found = {"without": _command(case.without, program, "without")}
    if isinstance(case, Case) and case.wanted:
        found["wanted"] = _command(case.wanted, program, "wanted")
    got = command(case, generation, program)
    return found | ({"got": got} if got else {})


def write(case: Case | MalformedFileCase, folder: Path) -> list[Path]:
    """Copy the files that the commands of a case name into a folder and return their paths there.

    Raises OutputRefused if the folder cannot be written.
    """
    shots = [case.without, case.shot, *([case.wanted] if isinstance(case, Case) and case.wanted else [])]
    written = []
    for path, name in {path: name for shot in shots for path, name in _file_names(shot).items()}.items():
        if path.is_file():  # a case of a missing file has none
            copy = folder / name
            atomic_write.ensure_folder(copy.parent)
            with atomic_write.atomic_write(copy) as partial:
                shutil.copyfile(path, partial)
            written.append(copy)
    request = case.shot.request(SEED)
    images = {INIT_IMAGE: request.init_image, REFERENCE_IMAGE: next(iter(request.ref_images), None)}
    for name, image in images.items():
        if image is not None:
            pixels = np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, image.channels)
            with atomic_write.atomic_write(folder / name) as partial:
                partial.write_bytes(png(pixels))
            written.append(folder / name)
    return written


def _file_names(shot: Shot) -> dict[Path, str]:
    """Create the files of a shot and return the name of each in the folder of the commands."""
    request, base_files = shot.request(SEED), shot.base.make()
    names = {}
    for role, path in request.files.items():
        names[path] = path.name if base_files.get(role) == path else f"merged-{path.name}"
    for loras in request.sequence:
        names |= {lora.path: lora.path.relative_to(request.lora_dir).as_posix() for lora in loras}
    return names


def _command(shot: Shot, program: str, picture: str) -> str:
    request, names = shot.request(SEED), _file_names(shot)
    relative = replace(
        request,
        files={role: Path(names[path]) for role, path in request.files.items()},
        sequence=tuple(
            tuple(replace(lora, path=Path(names[lora.path])) for lora in loras) for loras in request.sequence
        ),
        lora_dir=Path(),
    )
    return quoted(program_arguments(f"./{program}", relative, f"{picture}.png"))
