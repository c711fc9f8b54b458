"""How the library is used for a shot: the settings of its pictures and of its contexts.

The defaults are those of most shots: a single picture, with the base model's own number of steps, and one context.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from sdcpp.binding.api.interface import Picture


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSettings:
    """The settings of a picture that differ from those of the base model. None means the base model's own value.

    The names are those of ``api.Generation``. With ``strength`` sampling starts from ``init_image``, and with
    ``ref_image`` the model gets ``reference_image`` to edit.
    """

    prompt: str | None = None
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    cfg_scale: float | None = None
    negative_prompt: str = ""
    batch_count: int = 1
    clip_skip: int | None = None
    seed: int | None = None
    strength: float | None = None
    ref_image: bool = False

    @property
    def arguments(self) -> dict[str, str | int | float]:
        """The arguments of ``api.Generation`` that differ from the defaults, without pictures."""
        return {name: value for name, value in _changed(self).items() if name != "ref_image"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextSettings:
    """The settings of the contexts of a shot. The flags have the names that upstream has in 2026-05.

    With ``contexts`` greater than 1 so many contexts of one base model are open at the same time. They generate the
    pictures of a sequence in turn. ``enable_mmap`` also makes the worker check that the library does not change the
    files of the base model.
    """

    offload_params_to_cpu: bool = False
    keep_clip_on_cpu: bool = False
    enable_mmap: bool = False
    diffusion_flash_attn: bool = False
    free_params_immediately: bool = False
    circular_x: bool = False
    contexts: int = 1

    @property
    def flags(self) -> tuple[str, ...]:
        """The names of the flags that are set."""
        return tuple(name for name, value in _changed(self).items() if value is True)


#: The settings of most shots.
USUAL_GENERATION, USUAL_CONTEXT = GenerationSettings(), ContextSettings()
#: The names of all flags of a context.
FLAGS = tuple(field.name for field in fields(ContextSettings) if field.default is False)


def _changed(settings: GenerationSettings | ContextSettings) -> dict[str, str | int | float]:
    """Return the fields that differ from their defaults, and their values."""
    return {
        field.name: getattr(settings, field.name)
        for field in fields(settings)
        if getattr(settings, field.name) != field.default
    }


def described(*all_settings: GenerationSettings | ContextSettings) -> str:
    """Return what differs from the defaults as ``NAME=VALUE,...``, or "" if nothing does."""
    return ",".join(
        f"{name}={value}" for settings in all_settings for name, value in _changed(settings).items()
    )


def init_image(width: int, height: int) -> Picture:
    """Return the picture that img2img starts from: a colour gradient of ``width × height`` pixels."""
    data = bytes(
        value
        for y in range(height)
        for x in range(width)
        for value in (255 * x // (width - 1), 255 * y // (height - 1), 128)
    )
    return Picture(width=width, height=height, channels=3, data=data)


def reference_image(width: int, height: int) -> Picture:
    """Return the picture that a model edits: a chequerboard of 8 × 8 pixels in two colours, ``width × height`` pixels.

    Its tokens differ from each other, so that the attention of the model depends on where they are.
    """
    colours = bytes([230, 40, 90]), bytes([20, 200, 160])
    data = b"".join(colours[(x // 8 + y // 8) % 2] for y in range(height) for x in range(width))
    return Picture(width=width, height=height, channels=3, data=data)
