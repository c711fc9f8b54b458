from __future__ import annotations

import gguf
import numpy as np
import pytest
from gguf import quants

from harness.formats import gguf_types
from harness.models.base_model import Weight
from harness.models.large_base import LargeBase

pytestmark = pytest.mark.usefixtures("cache_folder")

#: A tensor of more blocks than the list has, and one of each type.
ROWS = 131_071 * 32 // 64 + 10
BASE = LargeBase(
    name="large",
    architecture="none",
    files={
        "model": {
            "embedding": Weight(shape=(ROWS, 64), std=0.3, dtype="Q4_0"),
            "matrix": Weight(shape=(96, 64), std=0.1, dtype="Q8_0"),
            "ternary": Weight(shape=(96, 256), std=0.1, dtype="TQ2_0"),
            "target.weight": Weight(shape=(64, 64), std=0.1, dtype="F32"),
            "kernel": Weight(shape=(4, 3, 1, 2, 2), std=0.1),
        },
        "taesd": {"w": Weight(shape=(8,), std=1.0, dtype="F32")},
    },
    targets={"target": ("model", "target.weight")},
    video=True,
)


def test_the_model_is_a_gguf_file_with_the_types_of_the_recipe() -> None:
    files = BASE.make()
    assert files["model"].name == "model.gguf"
    assert files["taesd"].name == "taesd.safetensors"
    assert files["model"] == BASE.path("model")
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(files["model"]).tensors}
    assert [tensor.tensor_type.name for tensor in tensors.values()] == ["Q4_0", "Q8_0", "TQ2_0", "F32", "F16"]
    assert [tuple(int(n) for n in reversed(t.shape)) for t in tensors.values()] == [
        (ROWS, 64),
        (96, 64),
        (96, 256),
        (64, 64),
        # A GGUF file has four axes at most, so the first two are one.
        (12, 1, 2, 2),
    ]


def test_quantised_values_have_the_spread_of_the_recipe_and_rows_differ() -> None:
    values = gguf_types.read(BASE.make()["model"])
    # With three values for each number the spread of the numbers is a tenth larger.
    for name, std in (("embedding", 0.3), ("matrix", 0.1), ("ternary", 0.11)):
        assert np.std(values[name]) == pytest.approx(std, rel=0.05)
        assert abs(float(np.mean(values[name]))) < std / 20
    for name in ("matrix", "ternary"):
        assert len(np.unique(values[name], axis=0)) == 96
    # The list of blocks begins again, in the middle of a row.
    flat = values["embedding"].reshape(-1, 32)
    assert np.array_equal(flat[: len(flat) - 131_071], flat[131_071:])
    assert not np.array_equal(flat[0], flat[1])
    assert np.array_equal(values["target.weight"], BASE.weight("target"))


def test_blocks_are_those_of_the_gguf_package_with_another_scale() -> None:
    numbers = np.random.default_rng(1).standard_normal((131_071, 32), dtype=np.float32)
    wanted = quants.quantize(numbers, gguf.GGMLQuantizationType.Q8_0)
    [stored] = [t.data for t in gguf.GGUFReader(BASE.make()["model"]).tensors if t.name == "matrix"]
    blocks = stored.reshape(-1, 34)
    [start] = np.flatnonzero((wanted[:, 2:] == blocks[0, 2:]).all(axis=1))
    assert np.array_equal(wanted[start : start + 192, 2:], blocks[:, 2:])
    scales = wanted[start : start + 192, :2].copy().view(np.float16).astype(np.float32)
    assert np.array_equal(
        blocks[:, :2].copy().view(np.float16), (scales * np.float32(0.1)).astype(np.float16)
    )


def test_changed_tensors_replace_those_of_the_recipe() -> None:
    changed = np.full((64, 64), 2.0, np.float32)
    path = BASE.make()["model"].with_name("merged.gguf")
    BASE.write("model", path, {"target.weight": changed})
    values = gguf_types.read(path)
    assert np.array_equal(values["target.weight"], changed)
    assert np.array_equal(values["matrix"], gguf_types.read(BASE.path("model"))["matrix"])


def test_a_video_is_asked_for_in_the_generation() -> None:
    assert BASE.generation["video"] is True
    assert "video" not in LargeBase(name="x", architecture="none", files={}, targets={}).generation
