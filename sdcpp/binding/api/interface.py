"""The interface that all generations of upstream's C API have in this project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from sdcpp.errors import BackendMismatch


class GenerationFailed(Exception):
    """The library returned no context or no picture. Its log usually has the reason.

    ``call`` is the name of the C function, ``log`` has the warnings and errors that it logged.
    """

    def __init__(self, call: str, log: tuple[str, ...]) -> None:
        self.call, self.log = call, log
        super().__init__(f"{call} returned nothing" + "".join(f"\n  {line}" for line in log))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """The files of a base model. A file that the model does not have is None."""

    model: Path | None = None
    diffusion_model: Path | None = None
    high_noise_diffusion_model: Path | None = None
    clip_l: Path | None = None
    clip_g: Path | None = None
    clip_vision: Path | None = None
    t5xxl: Path | None = None
    llm: Path | None = None
    llm_vision: Path | None = None
    vae: Path | None = None
    taesd: Path | None = None


#: Upstream's name of the argument or struct member for each field of ModelFiles.
FILES = {field.name: f"{field.name}_path" for field in fields(ModelFiles)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """An adapter file and its multiplier.

    ``is_high_noise`` marks an adapter for the high-noise model of a base model that has two diffusion models.
    """

    path: Path
    multiplier: float = 1.0
    is_high_noise: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """8-bit pixels, row by row, channels interleaved: ``height × width × channels`` bytes."""

    width: int
    height: int
    channels: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """The settings of one picture, or of a batch of pictures.

    The sampler is always Euler, on the discrete schedule if the header has it. ``width`` and ``height`` are in pixels.
    ``clip_skip`` has upstream's meaning: 1 uses all layers of the text encoder, 2 skips the last one, and 0 lets
    upstream choose. Picture number i of a batch, counted from 0, has the seed ``seed + i``. With ``init_image``
    (img2img) sampling starts from that picture, and ``strength`` is the share of the steps that run. ``ref_images`` are
    pictures that a model such as Flux Kontext edits. With ``video`` the picture is the one frame of a video, for models
    that make videos only.
    """

    prompt: str
    width: int
    height: int
    steps: int
    seed: int
    cfg_scale: float = 1.0
    clip_skip: int = 0
    loras: tuple[Lora, ...] = ()
    negative_prompt: str = ""
    batch_count: int = 1
    init_image: Picture | None = None
    strength: float = 0.75
    ref_images: tuple[Picture, ...] = ()
    video: bool = False


class Context(Protocol):
    """A loaded base model."""

    @property
    def backend(self) -> str:
        """Return the name of the backend in use, or "unknown" if there is no evidence or it contradicts itself."""
        ...

    @property
    def evidence(self) -> str:
        """Return the log lines and devices from which ``backend`` was found, as one line of text."""
        ...

    def generate(self, generation: Generation) -> Picture:
        """Generate a picture and return it; raises GenerationFailed.

        The pictures of a batch are returned as one picture, the first one on top.
        """
        ...

    def close(self) -> None:
        """Free the model. A second call does nothing."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Api(Protocol):
    """One generation of the C API, bound to a loaded library."""

    @property
    def generation(self) -> str:
        """Return the letter of the generation: A, B or C; see the top of revisions.toml."""
        ...

    @property
    def modes(self) -> tuple[str, ...]:
        """Return the LoRA apply modes that the header has, of auto, immediately and at_runtime."""
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
        """Load a base model and return its context.

        ``mode`` is one of ``modes``. ``lora_dir`` is the folder of the adapters, for the generations that name adapters
        in the prompt. ``options`` maps further context parameters of upstream to values, by the names that they have
        in 2026-05; see ``context_options``.
        Raises GenerationFailed, HeaderUnsupported if the header has no such mode or parameter, and LibraryUnusable.
        """
        ...


def check_backend(expected: str, context: Context) -> None:
    """Raise BackendMismatch unless the context runs on the expected backend."""
    if context.backend != expected:
        raise BackendMismatch(
            f"asked for {expected}, the library runs on {context.backend}",
            context.evidence or "no evidence in its log",
            f"check that a {expected} device and its driver work",
        )
