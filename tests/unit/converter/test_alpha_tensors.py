from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.converter import weight_change
from harness.converter.compare import compare
from harness.converter.convert import convert
from harness.converter.modules import layout
from harness.formats.read import read_tensors
from harness.quantising.package_quantiser import PackageQuantiser
from sdcpp.errors import AdapterUnknown
from tests.unit.converter.lora_files import Arrays, save

KEY = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
METADATA = {"lora_adapter_metadata": json.dumps({"unet.r": 8, "unet.lora_alpha": 4})}


def peft(stem: str = f"{KEY}.lora_", down: str = "A", up: str = "B") -> Arrays:
    generator = np.random.default_rng(1)
    return {
        f"{stem}{down}.weight": generator.standard_normal((8, 64)).astype(np.float32),
        f"{stem}{up}.weight": generator.standard_normal((96, 8)).astype(np.float32),
    }


def stored_scale(path: Path) -> float:
    """Return the scale of the only module by tensors alone."""
    [module] = layout(read_tensors(path).tensors.values()).modules.values()
    return weight_change.scale(module)


@pytest.mark.parametrize("suffix", [".gguf", ".safetensors"])
def test_alpha_of_the_metadata_is_written_as_a_tensor(tmp_path: Path, suffix: str) -> None:
    source = save(tmp_path / "a.safetensors", peft(), metadata=METADATA)
    done = convert(source, tmp_path / f"b{suffix}")
    assert [plan.why for plan in done.plans if plan.tensor.name == f"{KEY}.alpha"] == [
        "alpha from lora_adapter_metadata"
    ]
    alpha = read_tensors(tmp_path / f"b{suffix}").tensors[f"{KEY}.alpha"]
    assert alpha.values().reshape(-1).tolist() == [4.0]
    found = compare(source, tmp_path / f"b{suffix}")
    assert (found.relative, found.only_a, found.only_b) == (0, [], [])


def test_a_configuration_beside_the_file_is_not_lost(tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"r": 8, "lora_alpha": 4, "use_rslora": True}))
    source = save(folder / "adapter_model.safetensors", peft(), metadata={})
    convert(source, tmp_path / "b.gguf")
    assert stored_scale(tmp_path / "b.gguf") == pytest.approx(4 / 8**0.5)


def test_a_padded_rank_keeps_the_scale(tmp_path: Path) -> None:
    source = save(tmp_path / "a.safetensors", peft(), metadata=METADATA)
    target = tmp_path / "b.gguf"
    convert(source, target, ["Q8_0"], PackageQuantiser(), rebalance=True, pad=True)
    assert read_tensors(target).tensors[f"{KEY}.lora_B.weight"].shape == (96, 32)
    assert stored_scale(target) == pytest.approx(0.5)
    assert compare(source, target).relative < 0.02


def test_the_name_of_alpha_follows_that_of_the_factors(tmp_path: Path) -> None:
    metadata = {"ss_network_alpha": "2"}
    old = peft(f"{KEY}_lora.", "down", "up")
    packed = {"lora_adapter_metadata": json.dumps({"unet.r": 8, "unet.lora_alpha": 4})}
    convert(save(tmp_path / "a.safetensors", old, metadata=packed), tmp_path / "a.gguf")
    assert f"{KEY}_lora.alpha" in read_tensors(tmp_path / "a.gguf").tensors
    kohya = peft("lora_unet_x.lora_", "down", "up")
    convert(save(tmp_path / "b.safetensors", kohya, metadata=metadata), tmp_path / "b.gguf")
    assert stored_scale(tmp_path / "b.gguf") == 2 / 8


def test_a_scale_that_no_tensor_can_express_is_refused(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 8, "alpha": 4}))
    arrays = {f"{KEY}.lokr_w1": np.ones((2, 2), np.float32), f"{KEY}.lokr_w2": np.ones((3, 4), np.float32)}
    source = save(tmp_path / "a.safetensors", arrays, metadata={})
    with pytest.raises(AdapterUnknown, match="which no tensor can express"):
        convert(source, tmp_path / "b.gguf")
