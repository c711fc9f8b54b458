from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.converter.convert import convert
from harness.converter.revision_limits import limits
from harness.converter.rewritten_file import for_limits, with_names
from harness.quantising.package_quantiser import PackageQuantiser
from sdcpp.errors import AdapterUnknown, TypeUnavailable
from tests.unit.converter.lora_files import pair, save
from tests.unit.converter.rewritten_tensors import close, delta, product, stored

PROJ, PUBLISHED = "lora_unet_double_blocks_0_img_attn_proj", "diffusion_model.double_blocks.0.img_attn.proj"


def test_a_quantised_file_keeps_its_blocks_under_other_names(tmp_path: Path) -> None:
    source = save(tmp_path / "a.safetensors", pair(key=PROJ))
    convert(source, tmp_path / "a.gguf", ["Q8_0"], PackageQuantiser())
    with with_names(tmp_path / "a.gguf", "comfy") as (path, found):
        assert path.suffix == ".gguf"
        assert found.done == {"renamed": 1}
        before, after = stored(tmp_path / "a.gguf"), stored(path)
    up = before[f"{PROJ}.lora_up.weight"]
    assert np.array_equal(after[f"{PUBLISHED}.lora_B.weight"], up)
    assert not path.exists()


def test_a_quantised_file_becomes_float_for_a_revision(tmp_path: Path) -> None:
    source = save(tmp_path / "a.safetensors", pair(key=PROJ))
    convert(source, tmp_path / "a.gguf", ["Q8_0"], PackageQuantiser())
    with for_limits(tmp_path / "a.gguf", tmp_path / "b.gguf", limits("2026-05")) as (path, _):
        before, after = stored(tmp_path / "a.gguf"), stored(path)
    wanted = 0.5 * product(before[f"{PROJ}.lora_up.weight"], before[f"{PROJ}.lora_down.weight"])
    assert path.suffix == ".safetensors"
    assert close(delta(after, PUBLISHED, wanted.shape), wanted)


def test_a_container_or_a_type_that_the_revision_cannot_use_is_refused(tmp_path: Path) -> None:
    source = save(tmp_path / "a.safetensors", pair(key=PROJ))
    for target, types, what in (
        (tmp_path / "b.gguf", (), "cannot use such a file in every mode .*A GGUF LoRA is not found"),
        (tmp_path / "b.safetensors", ("Q8_0",), "cannot use this type in every mode"),
    ):
        with (
            pytest.raises(TypeUnavailable, match=what),
            for_limits(source, target, limits("2025-12"), types=types),
        ):
            pass


def test_what_cannot_be_had_is_refused_or_left_out(tmp_path: Path) -> None:
    norm = "transformer.transformer_blocks.0.attn.norm_q"
    source = save(tmp_path / "a.safetensors", pair(key=PROJ) | {f"{norm}.diff": np.ones(8, np.float32)})
    target = tmp_path / "b.safetensors"
    with (
        pytest.raises(AdapterUnknown, match="Differences of norms have no effect"),
        for_limits(source, target, limits("2026-05")),
    ):
        pass
    with for_limits(source, target, limits("2026-05"), force=True) as (path, found):
        assert set(stored(path)) == {
            f"{PUBLISHED}{end}" for end in (".lora_down.weight", ".lora_up.weight", ".alpha")
        }
        assert len(found.left_out) == 1


def test_a_module_without_a_name_in_the_scheme(tmp_path: Path) -> None:
    source = save(tmp_path / "a.safetensors", pair(key="lora_te2_layers_0_self_attn_q_proj"))
    with (
        pytest.raises(AdapterUnknown, match="1 module cannot be written with the names of comfy"),
        with_names(source, "comfy"),
    ):
        pass
