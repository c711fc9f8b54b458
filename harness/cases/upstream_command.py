"""Reproduce a case with upstream's own program: its command lines, and the files that they need."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from harness.cases.case import SEED, Case, Shot
from harness.cases.malformed_file_case import MalformedFileCase
from harness.cases.shot_request import ShotRequest
from sdcpp import atomic_write
from sdcpp.process import quoted

#: The name of upstream's program, by generation of the LoRA API, where its options are those below
#: (tests/regress/test_reproduction.py checks that). Upstream renamed it in 2025-12.
PROGRAMS = {"B": "sd", "C": "sd-cli"}
#: The program's options for the files and the generation parameters of ``Shot.request``.
_FILE_OPTIONS = {
    "model": "--model",
    "diffusion_model": "--diffusion-model",
    "clip_l": "--clip_l",
    "taesd": "--taesd",
}
_GENERATION_OPTIONS = {
    "width": "--width",
    "height": "--height",
    "steps": "--steps",
    "cfg_scale": "--cfg-scale",
    "clip_skip": "--clip-skip",
    "seed": "--seed",
}


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
        prompt += f"<lora:{name}:{lora.multiplier:g}>"
    for name, value in parameters.items():
        if value or name != "clip_skip":
            arguments += [_GENERATION_OPTIONS[name], str(value)]
    arguments += ["--sampling-method", "euler", "--scheduler", "discrete", "--prompt", prompt]
    arguments += ["--lora-model-dir", str(request.lora_dir), "--lora-apply-mode", request.mode]
    return [*arguments, "--output", picture]


def command(case: Case | MalformedFileCase, generation: str, program: str = "") -> str:
    """Return the shell command that reproduces a case in the folder that ``write`` fills, or "" if there is none.

    ``program`` is the name of a fork's program, which must have the options of upstream's. There is no command for a
    case of several generations: upstream's program uses the same adapters for all its pictures.
    """
    program = program or PROGRAMS.get(generation, "")
    return _command(case.shot, program, "got") if program and len(case.shot.sequence) == 1 else ""


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
