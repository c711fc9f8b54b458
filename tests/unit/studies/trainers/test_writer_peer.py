from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.studies.trainers import writer_peer

LAYERS = ["a.to_q", "b.to_k", "c.proj"]


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("lora", {"r": 8, "lora_alpha": 8}),
        ("lora-alpha", {"r": 8, "lora_alpha": 16}),
        (
            "lora-patterns",
            {"r": 8, "lora_alpha": 8, "rank_pattern": {"a.to_q": 4}, "alpha_pattern": {"c.proj": 4}},
        ),
        ("rslora", {"r": 8, "lora_alpha": 8, "use_rslora": True}),
        ("dora", {"r": 8, "lora_alpha": 8, "use_dora": True}),
    ],
)
def test_pefts_settings(kind: str, wanted: dict[str, Any]) -> None:
    library = SimpleNamespace(LoraConfig=lambda **settings: settings)
    assert writer_peer._lora_config(library, kind, LAYERS) == {**wanted, "target_modules": LAYERS}


class _Factor:
    """A number in place of a factor; ``normal_`` sets it to 3."""

    def __init__(self) -> None:
        self.value = 0.0

    def normal_(self) -> None:
        self.value = 3.0

    def mul_(self, ratio: float) -> None:
        self.value *= ratio


def test_the_change_has_the_norm_of_the_weight() -> None:
    factors = {"lora_A": _Factor(), "lora_B": _Factor()}

    def product() -> SimpleNamespace:
        return SimpleNamespace(norm=lambda: factors["lora_A"].value * factors["lora_B"].value)

    weight = SimpleNamespace(norm=lambda: 18.0)
    writer_peer._fill(factors, product, weight, "lora_B")
    assert (factors["lora_A"].value, factors["lora_B"].value) == (3.0, 6.0)
    assert product().norm() == weight.norm() * writer_peer.STRENGTH
