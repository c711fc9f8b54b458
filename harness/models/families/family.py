"""How a base model of a family is made from its diffusion model and its text encoder."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from harness.models.base_model import Base, Calibration, Demand, TensorId, Weights
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
    autoencoder_role: str = "taesd",
    architecture: str = "",
    needs: tuple[str, ...] = ("sizes-from-weights",),
    calibration: Calibration | None = None,
    full_merged_file: bool = True,
    module: str = "",
    texts: Mapping[str, Mapping[str, TensorId]] | None = None,
    outer: tuple[str, ...] = (),
    edits: bool = False,
) -> Base:
    """Return the base model of the family ``name``, whose one file of role model has all but the autoencoder.

    ``adapted`` tells by its name, without prefix, whether a tensor belongs to the layers that adapters change; these
    are the layers with matrices. ``autoencoder`` is None for a family that computes pixels, and
    ``autoencoder_role`` is "vae" if it is not a tiny one. ``architecture`` decides how the layers are called in
    adapters, and is ``name`` by default. ``needs``, ``calibration``, ``full_merged_file`` and ``edits`` are those of
    ``Base``; a large model needs no complete file. ``module`` is what the names in checkpoints begin with, and those in
    adapters do not. ``texts`` are groups of targets in text encoders, and ``outer`` the layers of the group "outer",
    which are outside the blocks.
    """
    model = prefixed(PREFIX, diffusion_model) | text_encoder
    return Base(
        name=name,
        architecture=architecture or name,
        files={"model": model} | ({autoencoder_role: autoencoder} if autoencoder else {}),
        targets=_targets(diffusion_model, adapted, PREFIX, module),
        groups={**_outer(outer, PREFIX), **(texts or {})},
        needs=needs,
        calibration=calibration or Calibration(),
        full_merged_file=full_merged_file,
        edits=edits,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTargets:
    """The layers of a text encoder that adapters change.

    ``role`` is the role of the file that has their matrices, ``prefix`` that of the text encoder in the file of role
    model, and ``names`` are their names after the prefix.
    """

    role: str
    prefix: str
    names: Collection[str]


def with_text_files(base: Base, targets: Mapping[str, TextTargets]) -> Base:
    """Return the base model with layers of its text encoders as targets, by group.

    Their matrices, in F32, are in files of their own, one for each text encoder. A merged model replaces these files,
    not the file of role model, which has hundreds of millions of parameters if the text encoders are large.
    """
    model = dict(base.files["model"])
    files: dict[str, Weights] = {}
    groups: dict[str, dict[str, TensorId]] = {}
    for group, layers in targets.items():
        files[layers.role] = {
            f"{name}.weight": replace(model.pop(f"{layers.prefix}{name}.weight"), dtype="F32")
            for name in layers.names
        }
        groups[group] = {name: (layers.role, f"{name}.weight") for name in layers.names}
    return replace(base, files={**base.files, "model": model, **files}, groups={**base.groups, **groups})


def large_family_base(
    name: str,
    diffusion_model: Weights,
    text_encoder: Weights,
    *,
    adapted: Callable[[str], bool],
    autoencoder: Weights | None,
    architecture: str = "",
    autoencoder_role: str = "taesd",
    needs: tuple[str, ...] = (),
    demand: Demand | None = None,
    video: bool = False,
    outer: tuple[str, ...] = (),
    prefix: str = PREFIX,
    module: str = "",
    calibration: Calibration | None = None,
    edits_only: bool = False,
    prompt: str = Base.prompt,
) -> LargeBase:
    """Return the base model of a family whose sizes the library fixes; see ``family_base`` and ``LargeBase``.

    ``prefix`` is that of the diffusion model in the file of role model. With another one than ``PREFIX`` a merged model
    is a complete file, because the library gives a second file this prefix.
    """
    return LargeBase(
        name=name,
        architecture=architecture or name,
        files={
            "model": prefixed(prefix, diffusion_model) | text_encoder,
            **({autoencoder_role: autoencoder} if autoencoder else {}),
        },
        targets=_targets(diffusion_model, adapted, prefix, module),
        groups=_outer(outer, prefix),
        needs=needs,
        calibration=calibration or Calibration(),
        full_merged_file=prefix != PREFIX,
        edits_only=edits_only,
        prompt=prompt,
        demand=demand,
        video=video,
    )


def _outer(names: tuple[str, ...], prefix: str) -> dict[str, dict[str, TensorId]]:
    """Return the group "outer" with layers of these names; no group without any."""
    return {"outer": {name: ("model", f"{prefix}{name}.weight") for name in names}} if names else {}


def _targets(
    weights: Weights, adapted: Callable[[str], bool], prefix: str, module: str
) -> dict[str, TensorId]:
    return {
        name.removeprefix(module).removesuffix(".weight"): ("model", prefix + name)
        for name, weight in weights.items()
        if name.endswith(".weight") and len(weight.shape) == 2 and adapted(name)
    }
