"""Try a LoRA on a random model of real size with ``sdcpp lora try``, and keep the record."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.models.base_model import Base
from harness.studies.real_models.peak import measured
from sdcpp import atomic_write, project
from sdcpp.binding.build_folder import Build
from sdcpp.errors import NothingTried

RECORD = project.ROOT / "results" / "real-models.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """An adapter file, its name, such as "32-Q8_0", and its multiplier."""

    name: str
    path: Path
    multiplier: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What ``sdcpp lora try`` did with a model: the verdict and the effect error of each apply mode, by mode.

    ``adapter`` is its name, and its multiplier if that is not 1. ``size`` is the size of the model's files, and
    ``memory`` the peak memory of the largest process of the command, without that of a GPU, both in bytes. ``seconds``
    is the time of the command. ``pixels`` is a side of the pictures. ``problem`` is the reason why there is no verdict,
    or "". ``date`` is in UTC.
    """

    base: str
    revision: str
    patched: bool
    backend: str
    device: str
    adapter: str
    pixels: int
    steps: int
    size: int
    memory: int
    seconds: float
    verdicts: Mapping[str, str]
    errors: Mapping[str, float | None]
    conclusion: str
    problem: str
    command: str
    date: str

    @property
    def question(self) -> tuple[object, ...]:
        """What a later attempt must have in common with this one to replace it."""
        return self.base, self.backend, self.revision, self.patched, self.adapter, self.device


def attempt(
    build: Build,
    base: Base,
    adapter: Adapter,
    *,
    name: str,
    device: str,
    pixels: int,
    steps: int,
    command: str,
) -> Attempt:
    """Try an adapter on a base model, whose files exist, with a build. ``name`` is the model's name in the record."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sdcpp-real-") as folder:
        done = measured(
            [
                *(
                    sys.executable,
                    "-m",
                    "harness",
                    "lora",
                    "try",
                    f"{adapter.path}@{adapter.multiplier:g}",
                    "--json",
                ),
                *(word for role in base.files for word in (f"--{role}", str(base.path(role)))),
                *("--build", str(build.folder), "--backend", build.backend, "--output", folder),
                *("--width", str(pixels), "--height", str(pixels), "--steps", str(steps)),
            ]
        )
    found = _answer(done.output)
    tried = (found.get("tried") or [{}])[0]
    modes = tried.get("modes", [])
    problem = found.get("error") or tried.get("base_failure") or tried.get("no_reference") or ""
    return Attempt(
        base=name,
        revision=str(build.record["revision"]),
        patched=bool(build.record["patches"]),
        backend=build.backend,
        device=device,
        adapter=adapter.name if adapter.multiplier == 1 else f"{adapter.name}@{adapter.multiplier:g}",
        pixels=pixels,
        steps=steps,
        size=sum(base.path(role).stat().st_size for role in base.files),
        memory=done.memory,
        seconds=round(time.monotonic() - start, 1),
        verdicts={each["mode"]: each["verdict"] for each in modes},
        errors={each["mode"]: each["effect_error"] for each in modes},
        conclusion=str(found.get("conclusion", "")).replace(str(adapter.path), adapter.path.name),
        problem=str(problem) if modes or problem else f"the command ended with status {done.status}",
        command=command,
        date=datetime.now(UTC).date().isoformat(),
    )


def _answer(output: str) -> dict[str, Any]:
    """Return the answer for the one file in the output of the command, or nothing if it printed none."""
    try:
        [found] = json.loads(output)
    except ValueError:
        return {}
    return dict(found)


def read(path: Path | None = None) -> list[Attempt]:
    """Return the attempts of a record, by default that of the project. Raises NothingTried if there is no such file."""
    path = path or RECORD
    if not path.exists():
        raise NothingTried("nothing is recorded", path, "run sdcpp study real-models --write-docs")
    return [Attempt(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]


def add(attempts: Sequence[Attempt], path: Path | None = None) -> list[Attempt]:
    """Add attempts to a record, in place of those of the same question, and return all."""
    path = path or RECORD
    known = read(path) if path.exists() else []
    new = {each.question for each in attempts}
    found = [each for each in known if each.question not in new] + list(attempts)
    found.sort(key=lambda each: [str(part) for part in each.question])
    atomic_write.write(path, json.dumps([asdict(each) for each in found], indent=1) + "\n")
    return found
