from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.formats.read import read_tensors
from harness.models import architectures
from harness.models.base_model import Base
from harness.models.weights import prefixed
from harness.studies.applying import models


def _small() -> Base:
    weights = prefixed("model.diffusion_model.", architectures.flux(hidden=64, head=64, context=64))
    return replace(models.MODELS["flux"], name="small", files={"model": weights})


def test_models_have_matrices_in_f16() -> None:
    for name, base in models.MODELS.items():
        found = {w.dtype for w in base.files["model"].values() if len(w.shape) > 1}
        assert found == ({"F16", "Q8_0"} if name == "flux-q8" else {"F16"})


def test_linear_layers_of_sdxl_and_flux_are_those_that_trainers_adapt() -> None:
    counts = {name: len(models.linear_layers(models.MODELS[name])) for name in ("sdxl", "flux", "flux-q8")}
    assert counts == {"sdxl": 722, "flux": 304, "flux-q8": 304}


def test_linear_layers_of_sd1_are_those_of_its_attention() -> None:
    layers = models.linear_layers(models.MODELS["sd1"])
    assert len(layers) == 160
    assert all(".transformer_blocks.0." in name for name in layers)


@pytest.mark.parametrize("kind", ["F16", "Q8_0"])
def test_adapter_has_two_factors_for_each_layer(tmp_path: Path, kind: str) -> None:
    def quantise(values: NDArray[np.float32], used: str) -> NDArray[np.uint8]:
        assert used == "Q8_0"
        return np.zeros((values.shape[0], values.shape[1] // 32 * 34), np.uint8)

    base = _small()
    path = tmp_path / ("a.safetensors" if kind == "F16" else "a.gguf")
    size = models.write_adapter(path, base, rank=4, kind=kind, quantise=quantise, block=32)
    assert size == path.stat().st_size
    found = read_tensors(path).tensors
    layers = models.linear_layers(base)
    assert len(found) == 2 * len(layers)
    for name, (out, inner) in layers.items():
        down = found[f"diffusion_model.{name}.lora_down.weight"]
        up = found[f"diffusion_model.{name}.lora_up.weight"]
        assert (tuple(down.shape), tuple(up.shape)) == ((4, inner), (out, 4))
        assert (down.kind, up.kind) == (kind, "F16")  # rows of four values are no whole blocks
