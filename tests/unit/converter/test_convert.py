"""Converting files with the gguf package's quantisers. No library is loaded."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.converter.convert import convert
from harness.converter.inspect import inspect
from harness.formats import gguf_types
from harness.formats.read import read_tensors
from harness.quantising.package_quantiser import PackageQuantiser
from harness.studies.conversion import sample_adapter
from sdcpp.errors import AdapterUnknown, Error, FileInvalid, OutputRefused, TypeUnavailable
from tests.unit.converter.lora_files import KEY, METADATA, Arrays, pair, save


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16"])
def test_floats_are_converted_through_all_containers_without_a_change(tmp_path: Path, kind: str) -> None:
    # Random finite bit patterns, including subnormal values: the highest bit of the exponent is 0.
    width = np.dtype(kind).itemsize
    raw = np.random.default_rng(2).integers(0, 256, (32, 64 * width), dtype=np.uint8)
    raw[:, width - 1 :: width] &= 0xBF
    values = raw.view(kind)
    arrays: Arrays = {f"{KEY}.lora_down.weight": values, f"{KEY}.lora_up.weight": values.T.copy()}
    first = save(tmp_path / "a.safetensors", arrays)
    for source, target in (("a.safetensors", "b.gguf"), ("b.gguf", "c.ckpt"), ("c.ckpt", "d.safetensors")):
        convert(tmp_path / source, tmp_path / target)
    assert (tmp_path / "d.safetensors").read_bytes() == first.read_bytes()


def test_a_quantised_file_becomes_exactly_its_values(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", pair())
    convert(tmp_path / "a.safetensors", tmp_path / "b.gguf", ["Q4_0"], PackageQuantiser())
    convert(tmp_path / "b.gguf", tmp_path / "c.safetensors")
    wanted = gguf_types.read(tmp_path / "b.gguf")
    found = read_tensors(tmp_path / "c.safetensors").tensors
    assert {t.kind for t in found.values()} == {"F32"}
    for name, values in wanted.items():
        assert np.array_equal(found[name].values().reshape(values.shape), values)


def test_metadata_is_kept_and_gguf_gets_its_standard_keys(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", pair())
    convert(tmp_path / "a.safetensors", tmp_path / "b.gguf", ["Q8_0"], PackageQuantiser())
    convert(tmp_path / "b.gguf", tmp_path / "c.safetensors")
    metadata = read_tensors(tmp_path / "b.gguf").metadata
    assert metadata["general.license"].value == "MIT"
    assert metadata["general.type"].value == "adapter"
    assert read_tensors(tmp_path / "c.safetensors").metadata == METADATA


# --- A refused conversion changes no file. ---


def refused(kind: type[Error], tmp_path: Path, match: str, *arguments: Any, **options: Any) -> None:
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    with pytest.raises(kind, match=match) as caught:
        convert(*arguments, **options)
    assert "\n" not in str(caught.value)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before


def test_an_output_that_is_the_input_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.gguf", pair())
    (tmp_path / "link.gguf").hardlink_to(path)
    refused(OutputRefused, tmp_path, "the output is the input", path, path)
    refused(OutputRefused, tmp_path, "the output is the input", path, tmp_path / "link.gguf")


def test_types_that_are_unknown_or_cannot_be_made_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.safetensors", pair())
    refused(TypeUnavailable, tmp_path, "Q9_Z", path, tmp_path / "b.gguf", ["Q9_Z"], PackageQuantiser())
    refused(TypeUnavailable, tmp_path, "IQ2_XXS", path, tmp_path / "b.gguf", ["IQ2_XXS"], PackageQuantiser())
    refused(
        TypeUnavailable,
        tmp_path,
        "safetensors",
        path,
        tmp_path / "b.safetensors",
        ["Q8_0"],
        PackageQuantiser(),
    )


@pytest.mark.parametrize("kinds", [[], ["Q8_0"], ["F16"]])
def test_nan_is_reported_with_its_tensor_row_and_byte(tmp_path: Path, kinds: list[str]) -> None:
    arrays = pair()
    arrays[f"{KEY}.lora_down.weight"][2, 5] = np.nan
    path = save(tmp_path / "a.safetensors", arrays)
    tensor = read_tensors(path).tensors[f"{KEY}.lora_down.weight"]
    offset = tensor.offset + 4 * (2 * 96 + 5)
    match = f"lora_down.weight: nan in row 2, column 5, at byte {offset}"
    refused(FileInvalid, tmp_path, match, path, tmp_path / "b.gguf", kinds, PackageQuantiser())
    convert(path, tmp_path / "c.gguf", force=True)
    assert [c for c in inspect(path).complaints if "1 NaN" in c]


def test_incomplete_and_malformed_adapters_are_refused(tmp_path: Path) -> None:
    complete = pair()
    lacking = {n: a for n, a in complete.items() if "lora_up" not in n}
    path = save(tmp_path / "a.safetensors", lacking)
    refused(AdapterUnknown, tmp_path, f"{KEY} lacks up", path, tmp_path / "b.gguf")
    narrow = complete | {f"{KEY}.lora_up.weight": np.ones((64, 16), np.float32)}
    path = save(tmp_path / "a.safetensors", narrow)
    refused(AdapterUnknown, tmp_path, "cannot be multiplied", path, tmp_path / "b.gguf")
    path = save(tmp_path / "a.safetensors", {"w": np.ones((4, 4), np.float32)})
    refused(AdapterUnknown, tmp_path, "no tensor of an adapter", path, tmp_path / "b.gguf")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.safetensors", pair())
    (tmp_path / "locked").mkdir(mode=0o500)
    refused(OutputRefused, tmp_path, "Permission denied", path, tmp_path / "locked" / "b.gguf")


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.safetensors", pair())
    refused(OutputRefused, tmp_path, "check that its folder exists", path, tmp_path / "none" / "b.gguf")


def test_a_full_disk_leaves_the_existing_file_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.safetensors", pair())
    (tmp_path / "b.gguf").write_bytes(b"older")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("harness.formats.write._pour", full)
    refused(OutputRefused, tmp_path, "No space left on device", path, tmp_path / "b.gguf")


def test_memory_does_not_grow_with_the_number_of_tensors(tmp_path: Path) -> None:
    # 48 MB in tensors of 1 MB, converted in a separate process. A file of one module shows the memory of Python itself.
    code = (
        "import resource, sys; from pathlib import Path; from harness.converter.convert import convert;"
        "convert(Path(sys.argv[1]), Path(sys.argv[2]), [sys.argv[3]]);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for modules in (1, 24):
        source = tmp_path / f"{modules}.safetensors"
        up, down = np.ones((2048, 128), np.float32), np.ones((128, 2048), np.float32)
        key = "lora_unet_double_blocks_BLOCK_img_attn_proj"
        sample_adapter.write(
            source, {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up}, "F32", modules
        )
        command = [sys.executable, "-c", code, str(source), str(tmp_path / "out.gguf"), "F16"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout) * (1 if sys.platform == "darwin" else 1024))
    assert peaks[1] - peaks[0] < 16e6
