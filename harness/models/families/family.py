"""How a base model of a family is made from its diffusion model and its text encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.models.base_model import Base, Calibration, TensorId, Weights
from harness.models.large_base import LargeBase
from harness.models.weights import prefixed

PREFIX = "model.diffusion_model."


def family_base(
    name: str,
    diffusion_model: Weights,
    text_encoder: Weights,
    *,
    adapted: Callable[[str], bool],
    autoencoder: Weights | None,
    architecture: str = "",
    needs: tuple[str, ...] = ("sizes-from-weights",),
    calibration: Calibration | None = None,
    full_merged_file: bool = True,
    module: str = "",
    texts: Mapping[str, Mapping[str, TensorId]] | None = None,
    outer: tuple[str, ...] = (),
) -> Base:
    """Return the base model of the family ``name``, whose one file of role model has all but the autoencoder.

    ``adapted`` tells by its name, without prefix, whether a tensor belongs to the layers that adapters change; these
    are the layers with matrices. ``autoencoder`` is None for a family that computes pixels. ``architecture`` decides
    how the layers are called in adapters, and is ``name`` by default. ``needs``, ``calibration`` and
    ``full_merged_file`` are those of ``Base``; a large model needs no complete file. ``module`` is what the names in
    checkpoints begin with, and those in adapters do not. ``texts`` are groups of targets in text encoders, and
    ``outer`` the layers of the group "outer", which are outside the blocks.
    """
    model = prefixed(PREFIX, diffusion_model) | text_encoder
    return Base(
        name=name,
        architecture=architecture or name,
        files={"model": model} | ({"taesd": autoencoder} if autoencoder else {}),
        targets=_targets(diffusion_model, adapted, module),
        groups={
            **({"outer": {name: ("model", f"{PREFIX}{name}.weight") for name in outer}} if outer else {}),
            **(texts or {}),
        },
        needs=needs,
        calibration=calibration or Calibration(),
        full_merged_file=full_merged_file,
    )


def large_family_base(
    name: str,
    diffusion_model: Weights,
    text_encoder: Weights,
    *,
    adapted: Callable[[str], bool],
    autoencoder: Weights,
    needs: tuple[str, ...] = (),
    video: bool = False,
) -> LargeBase:
    """Return the base model of a family whose sizes the library fixes; see ``family_base`` and ``LargeBase``."""
    return LargeBase(
        name=name,
        architecture=name,
        files={"model": prefixed(PREFIX, diffusion_model) | text_encoder, "taesd": autoencoder},
        targets=_targets(diffusion_model, adapted, ""),
        needs=needs,
        video=video,
    )


def _targets(weights: Weights, adapted: Callable[[str], bool], module: str) -> dict[str, TensorId]:
    return {
        name.removeprefix(module).removesuffix(".weight"): ("model", PREFIX + name)
        for name, weight in weights.items()
        if name.endswith(".weight") and len(weight.shape) == 2 and adapted(name)
    }
