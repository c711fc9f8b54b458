from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.cli.main import main
from harness.converter import contents
from harness.formats.read import read_tensors
from sdcpp.errors import AdapterUnknown
from tests.unit.converter.lora_files import pair, save

UNET = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
#: The name and the shape of a tensor, and what a file with it is.
FILES = {
    "a model (Stable Diffusion 1.x)": (UNET, (320, 768)),
    "a model (SDXL)": (UNET, (320, 2048)),
    "a model (FLUX.1)": ("double_blocks.0.img_attn.qkv.weight", (96, 32)),
    "a model (Z-Image)": ("layers.0.attention.qkv.weight", (96, 32)),
    "a text encoder (CLIP)": ("text_model.encoder.layers.0.self_attn.q_proj.weight", (32, 32)),
    "a text encoder (T5)": ("encoder.block.0.layer.0.SelfAttention.q.weight", (32, 32)),
    "an autoencoder": ("first_stage_model.decoder.conv_in.weight", (32, 4, 3, 3)),
    "an autoencoder ": ("decoder.conv_in.weight", (32, 4, 3, 3)),
    "a textual inversion embedding": ("emb_params", (4, 768)),
    "a textual inversion embedding ": ("clip_l", (4, 768)),
    "an IP-Adapter": ("ip_adapter.1.to_k_ip.weight", (32, 32)),
    "a ControlNet": ("control_model.input_blocks.0.0.weight", (32, 4, 3, 3)),
    "": ("weight", (4, 4)),
}


@pytest.mark.parametrize("what", FILES)
@pytest.mark.parametrize("suffix", [".safetensors", ".gguf", ".ckpt"])
def test_a_file_of_another_kind_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str, suffix: str
) -> None:
    name, shape = FILES[what]
    path = save(
        tmp_path / f"a{suffix}", {name: np.ones(shape, np.float32), **({} if what else {"b": np.ones(2)})}
    )
    lora = save(tmp_path / "lora.safetensors", pair())
    assert contents.described(read_tensors(path)) == what.strip()
    said = f"this is {what.strip()}, not an adapter" if what else "no tensor of an adapter was found"
    for words in (["convert", path, tmp_path / "b.gguf"], ["compare", path, lora], ["compare", lora, path]):
        assert main(["lora", *map(str, words)]) == AdapterUnknown.exit_code
        assert said in capsys.readouterr().err
    assert main(["lora", "inspect", str(path)]) == 1
    assert said in capsys.readouterr().out


def test_an_adapter_is_none_of_them(tmp_path: Path) -> None:
    file = read_tensors(save(tmp_path / "a.safetensors", pair()))
    contents.require_adapter(file, ["key"])


@pytest.mark.parametrize("suffix", [".safetensors", ".gguf"])
def test_a_file_without_tensors_is_named(tmp_path: Path, suffix: str) -> None:
    file = read_tensors(save(tmp_path / f"a{suffix}", {}))
    assert contents.problems(file, []) == ["the file has no tensors"]
