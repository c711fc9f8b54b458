from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from harness.formats.read import read_tensors
from harness.own_model import reference
from harness.own_model.model import UserModel, read_model
from harness.own_model.reference import Adapter, make, why_not
from sdcpp.errors import AdapterUnknown, OutputRefused
from tests.unit.converter.lora_files import pair, save
from tests.unit.own_model.own_files import KOHYA, PREFIX, QKV, flux, lora, model, peft, zeros

WEIGHT = f"{PREFIX}{QKV}.weight"


def test_the_merged_model_is_written_once(tmp_path: Path, cache_folder: Path) -> None:
    adapter = Adapter(path=lora(tmp_path / "a.safetensors"), multiplier=2.0)
    files = make(adapter, model(tmp_path), None, rounded=False)
    values = read_tensors(files["model"]).tensors[WEIGHT].values()
    assert np.linalg.norm(values) == pytest.approx(1.0, rel=1e-3)  # twice ‖ΔW‖ = 1/2 of a model of zeros
    assert files["model"].is_relative_to(cache_folder)
    written = files["model"].stat().st_mtime_ns
    assert make(adapter, model_again(tmp_path), None, rounded=False)["model"].stat().st_mtime_ns == written


def model_again(folder: Path) -> UserModel:
    return read_model({"model": folder / "flux.safetensors"})


def test_a_coarse_type_becomes_f16_unless_it_is_rounded(tmp_path: Path, cache_folder: Path) -> None:
    assert cache_folder
    adapter = Adapter(path=lora(tmp_path / "a.safetensors"))
    coarse = read_model({"model": flux(tmp_path / "bf16.safetensors", {})})
    stored = {name: zeros(*shape).astype("<u2") for name, shape in coarse.parts[0].shapes.items()}
    path = save(tmp_path / "b.safetensors", stored, dict.fromkeys(stored, "BF16"))
    found = read_model({"model": path})
    assert reference.coarse(found)
    exact, rounded = (make(adapter, found, None, rounded=rounded)["model"] for rounded in (False, True))
    assert read_tensors(exact).tensors[WEIGHT].kind == "F16"
    assert read_tensors(rounded).tensors[WEIGHT].kind == "BF16"


def test_files_without_changes_stay(tmp_path: Path, cache_folder: Path) -> None:
    assert cache_folder
    vae = save(tmp_path / "vae.safetensors", {"decoder.conv_in.weight": zeros(4, 4)})
    both = read_model({"diffusion_model": flux(tmp_path / "flux.safetensors"), "vae": vae})
    files = make(Adapter(path=lora(tmp_path / "a.safetensors")), both, None, rounded=False)
    assert files["vae"] == vae
    assert files["diffusion_model"] != both.files["diffusion_model"]


def test_a_folder_of_diffusers_gets_links(tmp_path: Path, cache_folder: Path) -> None:
    key = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    names = {
        "unet/diffusion_pytorch_model.safetensors": {f"{key}.weight": zeros(64, 64)},
        "vae/diffusion_pytorch_model.safetensors": {"decoder.conv_in.weight": zeros(4, 4)},
    }
    for name, tensors in names.items():
        (tmp_path / "model" / name).parent.mkdir(parents=True)
        save(tmp_path / "model" / name, tensors)
    adapter = Adapter(path=peft(tmp_path / "a.safetensors", f"unet.{key}"))
    folder = make(adapter, read_model({"model": tmp_path / "model"}), None, rounded=False)["model"]
    assert folder.is_relative_to(cache_folder)
    unet = read_tensors(folder / "unet/diffusion_pytorch_model.safetensors")
    assert np.all(unet.tensors[f"{key}.weight"].values() == 8)
    assert (folder / "vae/diffusion_pytorch_model.safetensors").exists()


def test_why_an_adapter_cannot_be_merged(tmp_path: Path, cache_folder: Path) -> None:
    assert cache_folder
    assert why_not(lora(tmp_path / "a.safetensors"), model(tmp_path)) == ""
    unknown = save(tmp_path / "b.safetensors", {**pair(out=192, inner=64, key=KOHYA), "what": zeros(4)})
    assert why_not(unknown, model(tmp_path)) == "what is not understood"
    wide = lora(tmp_path / "c.safetensors", out=96)
    assert "changes [96, 64]" in why_not(wide, model(tmp_path))
    other = peft(tmp_path / "d.safetensors", "text_encoder_2.text_model.encoder.layers.0.mlp.fc1")
    assert why_not(other, model(tmp_path)) == "no module of it fits the model"
    with pytest.raises(AdapterUnknown, match="no module fits the model"):
        make(Adapter(path=other), model(tmp_path), None, rounded=False)


def test_a_disk_without_space_is_refused_before_anything_is_written(
    tmp_path: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache_folder
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(OutputRefused, match=r"takes 0.0 GB, and 0.0 GB are free.*SDCPP_CACHE"):
        make(Adapter(path=lora(tmp_path / "a.safetensors")), model(tmp_path), None, rounded=False)


def test_the_size_with_changed_tensors_as_floats(tmp_path: Path) -> None:
    path = lora(tmp_path / "a.safetensors")
    plain = model(tmp_path)
    assert reference.exact_bytes(path, plain) == plain.bytes
    stored = {name: zeros(*shape).astype("<u1") for name, shape in plain.parts[0].shapes.items()}
    f8 = save(tmp_path / "f8.safetensors", stored, dict.fromkeys(stored, "F8_E4M3"))
    narrow = read_model({"model": f8})
    assert reference.exact_bytes(path, narrow) == 2 * narrow.bytes
