"""How a base model of a family is made from its diffusion model and its text encoder."""

from __future__ import annotations

from collections.abc import Callable

from harness.models.base_model import Base, Calibration, TensorId, Weights
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
) -> Base:
    """Return the base model of the family ``name``, whose one file of role model has all but the autoencoder.

    ``adapted`` tells by its name, without prefix, whether a tensor belongs to the layers that adapters change; these
    are the layers with matrices. ``autoencoder`` is None for a family that computes pixels. ``architecture`` decides
    how the layers are called in adapters, and is ``name`` by default. ``needs`` and ``calibration`` are those of
    ``Base``.
    """
    model = prefixed(PREFIX, diffusion_model) | text_encoder
    return Base(
        name=name,
        architecture=architecture or name,
        files={"model": model} | ({"taesd": autoencoder} if autoencoder else {}),
        targets=_targets(diffusion_model, adapted),
        needs=needs,
        calibration=calibration or Calibration(),
        full_merged_file=True,
    )


def _targets(weights: Weights, adapted: Callable[[str], bool]) -> dict[str, TensorId]:
    return {
        name.removesuffix(".weight"): ("model", PREFIX + name)
        for name, weight in weights.items()
        if name.endswith(".weight") and len(weight.shape) == 2 and adapted(name)
    }
