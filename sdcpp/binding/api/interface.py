"""What every generation of upstream's C API can do, whatever its calls look like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from sdcpp.errors import BackendMismatch


class GenerationFailed(Exception):
    """The library declined: it returned NULL and, mostly, said why in its log.

    ``call`` is the function that declined, ``log`` the warnings and errors it logged meanwhile.
    """

    def __init__(self, call: str, log: tuple[str, ...]) -> None:
        self.call, self.log = call, log
        super().__init__(f"{call} returned nothing" + "".join(f"\n  {line}" for line in log))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """The files of a base model; None for those it does not have."""

    model: Path | None = None
    diffusion_model: Path | None = None
    clip_l: Path | None = None
    clip_g: Path | None = None
    t5xxl: Path | None = None
    vae: Path | None = None
    taesd: Path | None = None


#: Members of ModelFiles and what upstream calls the argument or member for each.
FILES = {field.name: f"{field.name}_path" for field in fields(ModelFiles)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """An adapter file and its multiplier."""

    path: Path
    multiplier: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What picture to make: one, by the Euler sampler, on the discrete schedule where the header has it.

    ``clip_skip`` counts the text encoder's last layers as upstream does: 1 leaves none out, 2 the last, and 0 is
    upstream's own choice for the model.
    """

    prompt: str
    width: int
    height: int
    steps: int
    seed: int
    cfg_scale: float = 1.0
    clip_skip: int = 0
    loras: tuple[Lora, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """8-bit pixels, row by row, channels interleaved: ``height × width × channels`` bytes."""

    width: int
    height: int
    channels: int
    data: bytes


class Context(Protocol):
    """A loaded base model. ``backend`` is where it runs, ``evidence`` the log lines that say so."""

    @property
    def backend(self) -> str:
        """Return the backend in use, or "unknown" where there is no evidence or it contradicts itself."""
        ...

    @property
    def evidence(self) -> str:
        """Return the lines that ``backend`` was decided from."""
        ...

    def generate(self, generation: Generation) -> Picture:
        """Make a picture; raises Refused when the library declines."""
        ...

    def close(self) -> None:
        """Free the model; harmless when done twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Api(Protocol):
    """One generation of the C API, bound to a loaded library."""

    @property
    def generation(self) -> str:
        """Return the generation's letter as in docs: A, B, C."""
        ...

    @property
    def modes(self) -> tuple[str, ...]:
        """Return the LoRA apply modes the header has, among auto, immediately, at_runtime."""
        ...

    def open(
        self,
        files: ModelFiles,
        *,
        mode: str,
        threads: int,
        lora_dir: Path,
        options: Mapping[str, Any] | None = None,
    ) -> Context:
        """Load a base model; raises Refused when the library declines.

        ``lora_dir`` is where the generations that name adapters in the prompt look for them; ``options``
        sets further members of upstream's context parameters by name.
        """
        ...


def check_backend(expected: str, context: Context) -> None:
    """Raise BackendMismatch unless the context runs on the expected backend."""
    if context.backend != expected:
        raise BackendMismatch(
            f"asked for {expected}, the library runs on {context.backend}",
            context.evidence or "no evidence in its log",
            f"check that a {expected} device and its driver work; a result from another backend tells nothing about it",
        )
