"""What the same adapter costs in diffusers with PEFT, measured in the same run with a Python that has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.studies.applying import diffusers_peer
from harness.studies.applying.measurement import Picture
from harness.studies.peer_script import answer

#: The models of ``models.MODELS`` that have a peer, and the names by which the peer knows them.
BASES = {"sd1": "sd1", "sdxl": "sdxl", "flux": "flux", "flux-q8": "flux"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerCost:
    """Medians over the rounds, in seconds. ``size`` is the size of the F16 file in bytes, or 0 in records that lack it.

    ``load`` reads the F16 file into the model, ``fuse`` adds it to the weights, ``unfuse`` takes it back, and ``away``
    removes it. ``plain`` is a step without it and ``with_adapter`` one with it, not fused. ``memory`` is the peak
    memory of the process in bytes, without that of a GPU.
    """

    rank: int
    load: float
    fuse: float
    unfuse: float
    away: float
    plain: float
    with_adapter: float
    memory: int
    size: int = 0


def measure_peer(
    python: Path, base: str, device: str, ranks: Sequence[int], *, picture: Picture, threads: int
) -> list[PeerCost]:
    """Measure adapters of ``ranks`` with a random model of the size of ``base``, a key of ``BASES``, on a device.

    ``device`` is "cpu" or "cuda".

    Raises LibraryUnusable if ``python`` has no torch, diffusers and peft, and ToolMissing if it cannot be started.
    """
    job = {
        "base": BASES[base],
        "device": device,
        "ranks": list(ranks),
        "size": picture.size,
        "rounds": picture.rounds,
        "threads": threads,
    }
    found = answer(
        python,
        diffusers_peer.__file__,
        job,
        failure="diffusers could not be measured",
        remedy="install torch, diffusers and peft there",
    )
    return [PeerCost(**entry) for entry in found]
