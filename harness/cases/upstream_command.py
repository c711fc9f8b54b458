"""A case as commands of upstream's own program, and the files that they need: what a bug report asks for."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.cases.case import SEED, Case, Shot
from harness.cases.malformed_file_case import MalformedFileCase
from sdcpp import atomic_write
from sdcpp.process import quoted

#: What upstream's program is called, by the generation of the LoRA API, for those whose options are known to be these
#: (tests/regress/test_reproduction.py). It was renamed in 2025-12.
PROGRAMS = {"B": "sd", "C": "sd-cli"}
#: Its options for the files of ``Shot.request`` and for what that asks of the library.
_FILES = {
    "model": "--model",
    "diffusion_model": "--diffusion-model",
    "clip_l": "--clip_l",
    "taesd": "--taesd",
}
_GENERATION = {
    "width": "--width",
    "height": "--height",
    "steps": "--steps",
    "cfg_scale": "--cfg-scale",
    "clip_skip": "--clip-skip",
    "seed": "--seed",
}


def words(program: str, request: Mapping[str, Any], picture: str) -> list[str]:
    """Return the program's command line for a worker's request of one picture, which goes to a PNG file."""
    found = [program]
    for role, path in request["files"].items():
        found += [_FILES[role], path]
    asked = dict(request["generation"])
    prompt = asked.pop("prompt")
    for path, multiplier in request["sequence"][0]:
        name = Path(path).relative_to(request["lora_dir"]).with_suffix("").as_posix()
        prompt += f"<lora:{name}:{multiplier:g}>"
    for name, value in asked.items():
        if value or name != "clip_skip":
            found += [_GENERATION[name], str(value)]
    found += ["--sampling-method", "euler", "--scheduler", "discrete", "--prompt", prompt]
    found += ["--lora-model-dir", request["lora_dir"], "--lora-apply-mode", request["mode"]]
    return [*found, "--output", picture]


def command(case: Case | MalformedFileCase, generation: str) -> str:
    """Return the command that shows a case, in the folder that ``write`` fills; "" where there is none.

    Upstream's program makes all its pictures with the same adapters, so a case of several pictures has none.
    """
    known = generation in PROGRAMS and len(case.shot.sequence) == 1
    return _command(case.shot, generation, "got") if known else ""


def commands(case: Case | MalformedFileCase, generation: str) -> dict[str, str]:
    """Return the commands of the pictures by which a case is judged: "without", "wanted" and "got", if there are."""
    if generation not in PROGRAMS:
        return {}
    found = {"without": _command(case.without, generation, "without")}
    if isinstance(case, Case) and case.wanted:
        found["wanted"] = _command(case.wanted, generation, "wanted")
    got = command(case, generation)
    return found | ({"got": got} if got else {})


def write(case: Case | MalformedFileCase, folder: Path) -> list[Path]:
    """Copy all that the commands of a case name into a folder and return what is there then; raises OutputRefused."""
    shots = [case.without, case.shot, *([case.wanted] if isinstance(case, Case) and case.wanted else [])]
    written = []
    for path, name in {path: name for shot in shots for path, name in _names(shot).items()}.items():
        if path.is_file():  # a case may be about one that is missing
            copy = folder / name
            atomic_write.ensure_folder(copy.parent)
            with atomic_write.atomic_write(copy) as partial:
                shutil.copyfile(path, partial)
            written.append(copy)
    return written


def _names(shot: Shot) -> dict[Path, str]:
    """Return the files of a shot and what each is called in the folder; they exist afterwards."""
    request, own = shot.request(SEED), shot.base.make()
    found = {}
    for role, text in request["files"].items():
        path = Path(text)
        found[path] = path.name if own.get(role) == path else f"merged-{path.name}"
    for uses in request["sequence"]:
        found |= {Path(path): Path(path).relative_to(request["lora_dir"]).as_posix() for path, _ in uses}
    return found


def _command(shot: Shot, generation: str, picture: str) -> str:
    request, names = shot.request(SEED), _names(shot)
    here = {
        **request,
        "files": {role: names[Path(path)] for role, path in request["files"].items()},
        "sequence": [[[names[Path(path)], times] for path, times in uses] for uses in request["sequence"]],
        "lora_dir": ".",
    }
    return quoted(words(f"./{PROGRAMS[generation]}", here, f"{picture}.png"))
