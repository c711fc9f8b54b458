"""A small model of Flux and LoRAs for it, for the tests of this room. No library can open the model."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from harness.own_model.model import UserModel, read_model
from sdcpp.source import revision
from sdcpp.source.revision import Revision
from tests.unit.converter.lora_files import Arrays, pair, save

PREFIX = "model.diffusion_model."
QKV = "double_blocks.0.img_attn.qkv"
KOHYA = "lora_unet_double_blocks_0_img_attn_qkv"


def zeros(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.zeros(shape, np.float32)


def flux(path: Path, kinds: dict[str, str] | None = None) -> Path:
    names = {
        f"{PREFIX}{QKV}.weight": zeros(192, 64),
        f"{PREFIX}double_blocks.0.img_attn.proj.weight": zeros(64, 64),
        f"{PREFIX}single_blocks.0.linear1.weight": zeros(448, 64),
        f"{PREFIX}img_in.weight": zeros(64, 64),
        f"{PREFIX}final_layer.adaLN_modulation.1.weight": zeros(128, 64),
        "text_encoders.clip_l.transformer.text_model.encoder.layers.0.self_attn.q_proj.weight": zeros(64, 64),
    }
    return save(path, names, kinds)


def quantised_flux(path: Path) -> Path:
    """Write a model with one tensor of type Q8_0."""
    writer = gguf.GGUFWriter(path, "flux")
    kind = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor(f"{QKV}.weight", gguf.quants.quantize(zeros(192, 64), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def model(folder: Path) -> UserModel:
    return read_model({"model": flux(folder / "flux.safetensors")})


def lora(path: Path, key: str = KOHYA, out: int = 192, rank: int = 8, kind: str = "F32") -> Path:
    tensors: Arrays = pair(rank=rank, out=out, inner=64, key=key)
    if kind == "F32":
        return save(path, tensors)
    down = tensors[f"{key}.lora_down.weight"].astype(np.float16)
    return save(path, {**tensors, f"{key}.lora_down.weight": down})


def peft(path: Path, key: str, out: int = 64, metadata: dict[str, str] | None = None) -> Path:
    return save(
        path,
        {
            f"{key}.lora_A.weight": np.ones((8, 64), np.float32),
            f"{key}.lora_B.weight": np.ones((out, 8), np.float32),
        },
        metadata=metadata,
    )


def revisions(*names: str) -> list[Revision]:
    return [revision.find(name) for name in names or ("2025-12", "2026-05", "2026-07")]
