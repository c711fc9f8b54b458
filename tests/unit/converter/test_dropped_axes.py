"""Adapters of rank 1 in GGUF files of ggml's own writer, which drops axes of length 1."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from harness.cli.main import main
from harness.converter.compare import compare
from harness.converter.convert import convert
from harness.converter.dropped_axes import restored
from harness.converter.inspect import inspect
from harness.converter.modules import split
from harness.formats.read import read_tensors
from harness.formats.tensor import Tensor
from tests.unit.converter.lora_files import KEY, Arrays, save

RANDOM = np.random.default_rng(7)


def random(*shape: int) -> NDArray[np.float32]:
    return RANDOM.standard_normal(shape).astype(np.float32)


def module(**shapes: tuple[int, ...]) -> Arrays:
    """Return the tensors of a module by part, with kohya's names."""
    names = {
        "up": "lora_up.weight",
        "down": "lora_down.weight",
        "mid": "lora_mid.weight",
        "dora": "dora_scale",
    }
    arrays = {f"{KEY}.{names.get(part, part)}": random(*shape) for part, shape in shapes.items()}
    return {**arrays, f"{KEY}.alpha": np.ones((), np.float32)}


#: One module of each kind, in which axes are dropped.
ADAPTERS = {
    "lora": module(up=(64, 1), down=(1, 48)),
    "lora of one output": module(up=(1, 8), down=(8, 48)),
    "lora of one input": module(up=(64, 1), down=(1, 1)),
    "one value": module(up=(1, 1), down=(1, 1)),
    "convolution": module(up=(64, 1, 1, 1), down=(1, 48, 3, 3)),
    "convolution of one input": module(up=(64, 1, 1, 1), down=(1, 1, 3, 3)),
    "convolution of one output": module(up=(1, 8, 1, 1), down=(8, 48, 3, 3)),
    "convolution 1x1": module(up=(64, 1, 1, 1), down=(1, 48, 1, 1)),
    "flat convolution": module(up=(64, 1), down=(1, 432)),
    "tucker": module(up=(64, 1, 1, 1), down=(1, 48, 1, 1), mid=(1, 1, 3, 3)),
    "loha": module(hada_w1_a=(64, 1), hada_w1_b=(1, 48), hada_w2_a=(64, 1), hada_w2_b=(1, 48)),
    "loha with cores": module(
        hada_t1=(1, 1, 3, 3), hada_w1_a=(1, 64), hada_w1_b=(1, 48),
        hada_t2=(1, 1, 3, 3), hada_w2_a=(1, 64), hada_w2_b=(1, 48),
    ),
    "lokr": module(lokr_w1=(1, 4), lokr_w2_a=(64, 1), lokr_w2_b=(1, 12)),
    "lokr of two products": module(lokr_w1_a=(4, 1), lokr_w1_b=(1, 4), lokr_w2_a=(16, 1), lokr_w2_b=(1, 12)),
    "lokr of whole matrices": module(lokr_w1=(4, 4), lokr_w2=(1, 12)),
    "lokr of a kernel": module(lokr_w1=(4, 4), lokr_w2=(1, 12, 3, 3)),
    "lokr with a core": module(lokr_w1=(4, 4), lokr_t2=(1, 1, 3, 3), lokr_w2_a=(1, 16), lokr_w2_b=(1, 12)),
    "dora per input": module(up=(64, 1), down=(1, 48), dora=(1, 48)),
    "dora per output": module(up=(64, 1), down=(1, 48), dora=(64, 1)),
    "dora of a convolution": module(up=(64, 1, 1, 1), down=(1, 48, 3, 3), dora=(1, 64, 1, 1)),
}  # fmt: skip


def save_flat(path: Path, arrays: Arrays) -> Path:
    """Write a GGUF file as ggml does, without the trailing axes of length 1 in ggml's order."""
    writer = gguf.GGUFWriter(path, "lora")
    for name, array in arrays.items():
        axes = array.shape
        while len(axes) > 1 and axes[0] == 1:
            axes = axes[1:]
        writer.add_tensor(name, array.reshape(axes or (1,)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("name", ADAPTERS)
def test_dropped_axes_are_restored(tmp_path: Path, name: str) -> None:
    arrays = ADAPTERS[name]
    whole, flat = save(tmp_path / "a.safetensors", arrays), save_flat(tmp_path / "b.gguf", arrays)
    parts = {split(n)[1]: t for n, t in read_tensors(flat).tensors.items()}  # type: ignore[index]
    expected = {n: a.shape for n, a in arrays.items() if not n.endswith("alpha")}
    assert {t.name: t.shape for p, t in restored(parts).items() if p != "alpha"} == expected
    convert(flat, tmp_path / "c.safetensors")
    stored = read_tensors(tmp_path / "c.safetensors").tensors
    assert {n: t.shape for n, t in stored.items() if not n.endswith("alpha")} == expected
    assert compare(whole, flat).relative == 0
    assert not inspect(flat).complaints
    assert [(g.kind, g.rank) for g in inspect(flat).groups] == [
        (g.kind, g.rank) for g in inspect(whole).groups
    ]


@pytest.mark.parametrize("name", ADAPTERS)
def test_whole_tensors_stay_as_they_are(tmp_path: Path, name: str) -> None:
    tensors = read_tensors(save(tmp_path / "a.safetensors", ADAPTERS[name])).tensors
    parts: dict[str, Tensor] = {split(n)[1]: t for n, t in tensors.items()}  # type: ignore[index]
    assert restored(parts) == parts


def test_a_flat_file_of_rank_1_merges_like_the_whole_one(tmp_path: Path) -> None:
    base = save(tmp_path / "base.safetensors", {"block.proj.weight": np.zeros((64, 48), np.float32)})
    arrays = ADAPTERS["lora"]
    files = [save(tmp_path / "a.safetensors", arrays), save_flat(tmp_path / "b.gguf", arrays)]
    for number, file in enumerate(files):
        assert main(["lora", "merge", str(base), str(file), str(tmp_path / f"{number}.safetensors")]) == 0
    merged = [read_tensors(tmp_path / f"{n}.safetensors").tensors["block.proj.weight"].raw() for n in (0, 1)]
    assert merged[0].tolist() == merged[1].tolist()
    assert merged[0].any()
