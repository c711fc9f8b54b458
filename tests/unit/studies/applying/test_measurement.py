from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from harness.cases.shot_request import ShotRequest
from harness.models.tiny_models import FLUX_SMALL
from harness.running.protocol import ShotReply
from harness.studies.applying import measurement
from harness.studies.applying.measurement import AdapterFile, Picture, measure
from sdcpp.binding.api.interface import Picture as PixelPicture
from sdcpp.binding.build_folder import Build


class _Worker:
    """Loading takes 4 s if the adapters change, a step 1 s, and 0.5 s more with an adapter."""

    def __init__(self, *_: object, keeps_state: bool) -> None:
        assert keeps_state
        self._loras: object = ()

    def request(self, request: ShotRequest, _: float) -> ShotReply:
        [loras] = request.sequence
        if any(lora.path.name == "bad" for lora in loras) and loras == self._loras:
            return ShotReply(outcome="crashed", text="ended by SIGABRT")
        loading = 4.0 if loras != self._loras else 0.0
        self._loras = loras
        weight = sum(lora.multiplier for lora in loras)
        seconds = 2 + loading + request.generation["steps"] * (1.5 if loras else 1.0)
        return ShotReply(
            outcome="picture",
            picture=PixelPicture(
                width=1, height=1, channels=3, data=bytes([len(loras), round(2 * weight), 0])
            ),
            seconds={"generate": seconds},
            memory=len(loras) + 1,
        )

    def close(self) -> None:
        pass


@pytest.mark.parametrize("backend", ["cpu", "cuda"])
def test_costs_are_derived_from_pictures(
    backend: str, fake_build: Callable[..., Build], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurement, "WorkerProcess", _Worker)
    seen = iter([[3, 7], [9, 8]])
    monkeypatch.setattr(measurement, "watched", lambda: nullcontext(next(seen)))
    files = [AdapterFile(rank=4, kind="F16", size=9, path=Path(name)) for name in ("good", "bad")]
    good, bad = measure(
        {"patched": fake_build("C")},
        backend=backend,
        base=FLUX_SMALL,
        modes=["at_runtime"],
        adapters=files,
        picture=Picture(size=64, steps=5, rounds=2),
        threads=1,
    )
    assert (good.plain, good.step, good.step_more) == (3, 1, 0.5)
    assert (good.first, good.again, good.changed, good.away) == (4.5, 0.5, 4.5, 4)
    assert (good.card, good.card_with) == ((7, 9) if backend == "cuda" else (0, 0))
    assert "SIGABRT" in bad.failure  # for the second picture with it
    assert (bad.plain, bad.step, bad.first, bad.again) == (3, 1, 4.5, 0)
    assert bad.pictures.keys() == {"without"}
    assert good.pictures["without"] == good.pictures["away"]
    assert len(set(good.pictures.values())) == 3
