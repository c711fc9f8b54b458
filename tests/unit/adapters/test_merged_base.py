from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from harness.adapters import merged_base
from harness.adapters.adapter import Adapter
from harness.adapters.adapter_file import AdapterFile
from harness.adapters.use import Use
from harness.models.base_model import Base, Weight
from sdcpp import cache
from sdcpp.errors import CacheBusy
from tests.unit.fake_models import ADAPTER, BASE

pytestmark = pytest.mark.usefixtures("cache_folder")


def test_merged_tensors_are_in_a_file_for_each_role_with_the_types_of_the_base() -> None:
    base = Base(
        name="two",
        architecture="none",
        files={
            "model": {
                "model.diffusion_model.a.weight": Weight(shape=(8, 8), std=0.1, dtype="F32"),
                "model.diffusion_model.k.weight": Weight(shape=(4, 4, 3, 3), std=0.1),
            },
            "clip_l": {
                "t.weight": Weight(shape=(8, 8), std=0.1, dtype="F32"),
                "u.weight": Weight(shape=(8, 8), std=0.1, dtype="F32"),
            },
        },
        targets={"a": ("model", "model.diffusion_model.a.weight")},
        groups={
            "conv3x3": {"k": ("model", "model.diffusion_model.k.weight")},
            "text": {"t": ("clip_l", "t.weight")},
        },
    )
    adapter = Adapter(
        name="x", base="two", rank=2, alpha=None, kind="diff", targets=("linear", "conv3x3", "text")
    )
    file = AdapterFile(base=base, adapter=adapter, container="safetensors", kind="F32")
    paths = merged_base.make(base, [Use(file=file)])
    assert set(paths) == {"diffusion_model", "clip_l"}
    loaded = {role: load_file(path) for role, path in paths.items()}
    assert set(loaded["clip_l"]) == {"t.weight", "u.weight"}, "the file replaces that of the base model"
    text_change = next(array for name, array in file.values().items() if name.startswith("lora_te"))
    assert np.allclose(loaded["clip_l"]["t.weight"], base.weight("t") + text_change)
    assert np.array_equal(loaded["clip_l"]["u.weight"], base.values(("clip_l", "u.weight")))
    assert set(loaded["diffusion_model"]) == {"a.weight", "k.weight"}, (
        "the file is loaded after the base model's"
    )
    kernel = loaded["diffusion_model"]["k.weight"]
    assert kernel.dtype == np.float16
    change = file.values()["lora_unet_k.diff"]
    assert np.allclose(kernel, base.weight("k") + change, rtol=2**-10)
    linear = loaded["diffusion_model"]["a.weight"]
    assert linear.dtype == np.float32
    assert np.allclose(linear, base.weight("a") + file.values()["lora_unet_a.diff"])
    assert merged_base.make(base, [Use(file=file)]) == paths
    alone = merged_base.make(dataclasses.replace(base, name="alone", full_merged_file=True), [Use(file=file)])
    assert set(alone) == {"model", "clip_l"}
    full = load_file(alone["model"])
    assert set(full) == set(base.files["model"])
    for name in ("a", "k"):
        assert np.array_equal(
            full[f"model.diffusion_model.{name}.weight"], loaded["diffusion_model"][f"{name}.weight"]
        )
    for path in paths.values():
        path.unlink()
    with pytest.raises(CacheBusy, match="another process removed the merged tensors"):
        merged_base.make(base, [Use(file=file)])


def test_merged_tensors_that_another_process_removes_are_written_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uses = [Use(file=AdapterFile(base=BASE, adapter=ADAPTER, container="safetensors", kind="F32"))]
    paths = merged_base.make(BASE, uses)
    evict, times = cache.evict_oldest, 0

    def remove_first(entry: Path, limit: int) -> None:
        nonlocal times
        times += 1
        if times == 1:
            cache.remove(entry)
        else:
            evict(entry, limit)

    monkeypatch.setattr(cache, "evict_oldest", remove_first)
    assert merged_base.make(BASE, uses) == paths
    assert all(path.exists() for path in paths.values())
    assert times == 2
