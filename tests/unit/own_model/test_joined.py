from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from harness.formats.read import read_tensors
from harness.own_model.joined import FOLDER, joined
from harness.own_model.model import read_model
from harness.own_model.own_base import MergedBase
from harness.own_model.own_cases import own_base
from harness.own_model.reference import Adapter
from tests.unit.converter.lora_files import save
from tests.unit.own_model.own_files import PREFIX, QKV, lora, model

WEIGHT = f"{PREFIX}{QKV}.weight"


def split(folder: Path) -> tuple[Path, Path]:
    """Write a model of two files whose values are those of their places in the first tensor, and of a third."""
    values = np.arange(192 * 64, dtype=np.float32).reshape(192, 64) / 1000
    return (
        save(folder / "m-00001-of-00002.safetensors", {f"{PREFIX}img_in.weight": values[:64]}),
        save(folder / "m-00002-of-00002.safetensors", {WEIGHT: values}),
    )


def test_several_files_become_one_once(tmp_path: Path, cache_folder: Path) -> None:
    first, second = split(tmp_path)
    found = joined(read_model({"diffusion_model": first}))
    path = found.files["diffusion_model"]
    assert path.is_relative_to(cache_folder / FOLDER)
    assert found.unreadable == ()
    written = read_tensors(path).tensors
    for source in (first, second):
        for name, tensor in read_tensors(source).tensors.items():
            assert np.array_equal(written[name].raw(), tensor.raw())
    before = path.stat().st_mtime_ns
    assert joined(read_model({"diffusion_model": second})).files["diffusion_model"] == path
    assert path.stat().st_mtime_ns == before


def test_a_model_of_one_file_stays(tmp_path: Path, cache_folder: Path) -> None:
    whole = model(tmp_path)
    assert joined(whole) is whole
    assert not cache_folder.exists()


def test_what_says_which_of_several_gguf_files_it_is_is_left_out(tmp_path: Path, cache_folder: Path) -> None:
    assert cache_folder
    for index in (1, 2):
        writer = gguf.GGUFWriter(tmp_path / f"q-0000{index}-of-00002.gguf", "flux")
        writer.add_uint16("split.no", index - 1)
        kind = gguf.GGMLQuantizationType.Q8_0
        blocks = gguf.quants.quantize(np.full((64, 64), index, np.float32), kind)
        writer.add_tensor(f"double_blocks.{index}.img_attn.proj.weight", blocks, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    found = joined(read_model({"diffusion_model": tmp_path / "q-00002-of-00002.gguf"}))
    file = found.parts[0].file
    assert file.metadata["general.architecture"].value == "flux"
    assert "split.no" not in file.metadata
    values = [float(tensor.values()[0, 0]) for tensor in file.tensors.values()]
    assert values == pytest.approx([1.0, 2.0], rel=1e-3)
    assert {tensor.kind for tensor in file.tensors.values()} == {"Q8_0"}


def test_an_adapter_is_merged_into_a_model_of_several_files(tmp_path: Path, cache_folder: Path) -> None:
    assert cache_folder
    split_model = read_model({"diffusion_model": split(tmp_path)[0]})
    base = own_base("m", split_model, 1.0)
    merged = MergedBase(
        name="n",
        architecture="",
        files={},
        targets={},
        model=split_model,
        adapter=Adapter(path=lora(tmp_path / "a.safetensors")),
    )
    before = read_tensors(base.make()["diffusion_model"]).tensors[WEIGHT].values()
    after = read_tensors(merged.make()["diffusion_model"]).tensors[WEIGHT].values()
    assert np.linalg.norm(after - before) == pytest.approx(0.5, rel=1e-3)  # ‖ΔW‖ of the LoRA
