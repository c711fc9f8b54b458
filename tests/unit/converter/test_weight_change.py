from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.adapters.adapter import Adapter, changes
from harness.adapters.kinds import KINDS
from harness.converter import weight_change
from harness.converter.modules import layout
from harness.formats.read import read_tensors
from harness.models.base_model import Base, Weight
from sdcpp.errors import AdapterUnknown
from tests.unit.converter.lora_files import KEY, Arrays, dense, pair, save

#: A base model of one matrix, its bias, and two convolutions, with shapes that all kinds of adapters support.
THREE_WEIGHTS = Base(
    name="three-weights",
    architecture="none",
    files={
        "model": {
            "linear.weight": Weight(shape=(96, 64), std=0.1, dtype="F32"),
            "linear.bias": Weight(shape=(96,), std=0.1, dtype="F32"),
            "kernel.weight": Weight(shape=(96, 64, 3, 3), std=0.1),
            "point.weight": Weight(shape=(48, 64, 1, 1), std=0.1),
        }
    },
    targets={"linear": ("model", "linear.weight")},
    groups={
        "conv3x3": {"kernel": ("model", "kernel.weight")},
        "conv1x1": {"point": ("model", "point.weight")},
    },
)
#: The ways to store the scale of ΔW, as options of an adapter. With "flat" the factors of a convolution are matrices.
SCALES: dict[str, dict[str, Any]] = {
    "alpha": {"alpha": 2.0},
    "scale": {"alpha": 2.0, "form": "scale"},
    "no alpha": {"alpha": None},
    "flat": {"alpha": 2.0, "form": "flat"},
}


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize(
    ("kind", "scale"),
    [
        (kind, scale)
        for kind in KINDS
        for scale in SCALES
        # Only the factors of a LoRA are stored as matrices.
        if scale != "flat" or kind in {"lora", "dora", "dora-in"}
    ],
)
def test_the_harness_and_the_converter_compute_the_same_change(
    tmp_path: Path, kind: str, scale: str, rank: int
) -> None:
    groups = ("linear", "conv3x3", "conv1x1")
    adapter = Adapter(name="x", base="three-weights", rank=rank, kind=kind, targets=groups, **SCALES[scale])
    tensors = adapter.tensors(THREE_WEIGHTS)
    found = dense(save(tmp_path / "a.safetensors", tensors))
    if kind.startswith("dora"):
        # weight_change has no base model. It knows the change before magnitudes rescale the sum, that of a LoRA.
        adapter = dataclasses.replace(adapter, kind="lora")
    wanted = changes(THREE_WEIGHTS, tensors, 1.0, adapter)
    assert len(found) == len(wanted) == (1 if KINDS[kind].bias or KINDS[kind].kernel else 3)
    for (_, name), change in wanted.items():
        ours = found["lora_unet_" + name.rpartition(".")[0]].reshape(change.shape)
        assert np.linalg.norm(ours - change) <= 1e-12 * np.linalg.norm(change)


def test_each_kind_follows_its_definition(tmp_path: Path) -> None:
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


def test_norm_and_distance_equal_those_of_the_formed_matrices(tmp_path: Path) -> None:
    adapter = Adapter(name="x", base="three-weights", rank=4, alpha=2.0)
    for kind in ("lora", "loha", "lokr", "lokr-w2", "diff"):
        forms = []
        for seed in (1, 2):
            tensors = dataclasses.replace(adapter, kind=kind, seed=seed).tensors(THREE_WEIGHTS)
            path = save(tmp_path / f"{kind}-{seed}.safetensors", tensors)
            [module] = layout(read_tensors(path).tensors.values()).modules.values()
            forms.append((weight_change.weight_change(module), dense(path)[module.key]))
        (one, first), (other, second) = forms
        assert weight_change.norm(one) == pytest.approx(np.linalg.norm(first), rel=1e-9)
        assert weight_change.distance(one, other) == pytest.approx(np.linalg.norm(first - second), rel=1e-9)
        assert weight_change.distance(one, one) == 0


def test_changes_of_different_shapes_are_refused(tmp_path: Path) -> None:
    modules = []
    for out in (64, 32):
        path = save(tmp_path / f"{out}.safetensors", pair(out=out))
        modules.append(layout(read_tensors(path).tensors.values()).modules[KEY])
    with pytest.raises(AdapterUnknown, match="same adapter"):
        weight_change.distance(*map(weight_change.weight_change, modules))
