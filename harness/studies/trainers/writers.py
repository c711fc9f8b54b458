"""Run the trainers' libraries, in a Python that has them, and return the adapters that they write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.models.base_model import Base, Calibration
from harness.models.tiny_models import FLUX_THIN, SD1_THIN
from harness.studies.peer_script import answer
from harness.studies.trainers import named_weights, writer_peer

#: The writers, and what they write.
WRITERS: Mapping[str, str] = {
    "peft-lora": "LoRA; alpha equals the rank",
    "peft-lora-alpha": "LoRA; alpha is twice the rank",
    "peft-lora-patterns": "LoRA; one layer has another rank and one another alpha",
    "peft-rslora": "LoRA with use_rslora, whose scale is alpha divided by the root of the rank",
    "peft-dora": "LoRA with use_dora",
    "peft-loha": "LoHa",
    "peft-lokr": "LoKr",
    "diffusers-lora": "LoRA; alpha equals the rank",
    "diffusers-lora-alpha": "LoRA; alpha is twice the rank",
    "diffusers-dora": "LoRA with use_dora",
    "lycoris-lora": "LoCon; alpha is half the rank",
    "lycoris-lora-dora": "LoCon with dora_wd",
    "lycoris-loha": "LoHa; alpha equals the rank",
    "lycoris-lokr": "LoKr; alpha equals the rank",
}
#: The writers of adapters with a core for each kernel, which only a model with convolutions can have.
TUCKER_WRITERS: Mapping[str, str] = {
    "peft-loha-tucker": "LoHa with use_effective_conv2d",
    "peft-lokr-tucker": "LoKr with use_effective_conv2d",
    "lycoris-lora-tucker": "LoCon with use_tucker; alpha is half the rank",
    "lycoris-loha-tucker": "LoHa with use_tucker; alpha equals the rank",
    "lycoris-lokr-tucker": "LoKr with use_tucker; alpha equals the rank",
}
SEED = 1
#: Each case is judged by itself, as its adapters may change the picture less than those of the matrix.
_CALIBRATION = Calibration(required=False)
#: The base models. The targets of the UNet are its linear layers and its convolutions.
BASES: Sequence[Base] = (
    replace(FLUX_THIN, calibration=_CALIBRATION),
    replace(
        SD1_THIN,
        calibration=_CALIBRATION,
        targets={
            **SD1_THIN.targets,
            **{
                target: tensor
                for group in ("conv3x3", "strided", "conv1x1")
                for target, tensor in SD1_THIN.groups[group].items()
            },
        },
    ),
)


def writers_of(base: Base) -> Sequence[str]:
    """Return the names of the writers for a base model."""
    return (*WRITERS, *(TUCKER_WRITERS if base.architecture == "sd1" else ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An adapter: its file, and the file with the weights into which the library merged it, by diffusers' names.

    If the library failed, ``error`` is its message and the files do not exist.
    """

    writer: str
    file: Path
    merged: Path
    error: str


def write(
    python: Path, base: Base, folder: Path, writers: Sequence[str]
) -> tuple[dict[str, str], list[Written]]:
    """Write the adapters for ``base`` into ``folder``, and return the libraries' versions and the adapters.

    ``python`` runs the libraries. Raises LibraryUnusable if it lacks one, and ToolMissing if it cannot be started.
    """
    weights = folder / "base.safetensors"
    named_weights.write(base, weights)
    found = answer(
        python,
        writer_peer.__file__,
        {
            "architecture": base.architecture,
            "base": str(weights),
            "folder": str(folder),
            "writers": list(writers),
            "seed": SEED,
        },
        failure="no adapter was written",
        remedy=f"install {', '.join(writer_peer.PACKAGES)} there, or run nox -s trainers",
        # The libraries ask a server about the base model unless they are told not to.
        env={"HF_HUB_OFFLINE": "1"},
    )
    written = [
        Written(writer=name, file=Path(one["file"]), merged=Path(one["merged"]), error=one["error"])
        for name, one in found["adapters"].items()
    ]
    return found["versions"], written
