from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.unit.converter.lora_files import Arrays, dense, save


def test_kinds_by_their_definitions(tmp_path: Path) -> None:
    draw = np.random.default_rng(4)

    def random(*shape: int) -> np.ndarray[Any, Any]:
        return draw.standard_normal(shape).astype(np.float32)

    half = np.array(2.0, np.float32)
    arrays: Arrays = {
        "a.hada_w1_a": random(6, 4), "a.hada_w1_b": random(4, 10),
        "a.hada_w2_a": random(6, 4), "a.hada_w2_b": random(4, 10), "a.alpha": half,
        "b.lokr_w1": random(3, 2), "b.lokr_w2_a": random(4, 4), "b.lokr_w2_b": random(4, 5), "b.alpha": half,
        "c.lora_up.weight": random(6, 4, 1, 1), "c.lora_mid.weight": random(4, 4, 3, 3),
        "c.lora_down.weight": random(4, 5, 1, 1), "c.alpha": half,
        "d.diff": random(4, 5),
    }  # fmt: skip
    found = dense(save(tmp_path / "a.safetensors", arrays))
    wide = {name: array.astype(np.float64) for name, array in arrays.items()}
    loha = (wide["a.hada_w1_a"] @ wide["a.hada_w1_b"]) * (wide["a.hada_w2_a"] @ wide["a.hada_w2_b"]) / 2
    assert np.allclose(found["a"], loha)
    assert np.allclose(found["b"], np.kron(wide["b.lokr_w1"], wide["b.lokr_w2_a"] @ wide["b.lokr_w2_b"]) / 2)
    up, down = wide["c.lora_up.weight"][:, :, 0, 0], wide["c.lora_down.weight"][:, :, 0, 0]
    tucker = np.einsum("om,mnkl,ni->oikl", up, wide["c.lora_mid.weight"], down) / 2
    assert np.allclose(found["c"], tucker.reshape(6, -1))
    assert np.allclose(found["d"], wide["d.diff"])
