from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save as serialised
from safetensors.numpy import save_file

from harness.converter.hashes import hashes
from harness.formats.read import read_tensors
from tests.unit.converter.lora_files import pair, save


def test_hashes_of_known_bytes(tmp_path: Path) -> None:
    path = save(tmp_path / "a.safetensors", {"x": np.arange(4, dtype=np.float32)}, metadata={"a": "b"})
    found = hashes(read_tensors(path))
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.auto_v2 == found.sha256[:10]
    data = bytes.fromhex("000000000000803f0000004000004040")
    assert found.model_hash == hashlib.sha256(data).hexdigest()
    assert found.auto_v3 == found.model_hash[:12]
    # SHA-256 of nothing: the file is shorter than 1 MiB.
    assert found.auto_v1 == found.legacy_hash == "e3b0c442"


@pytest.mark.parametrize("metadata", [{"ss_tag": "ein Wört", "modelspec.title": "t" * 99, "sshs_x": "1"}, {}])
def test_the_legacy_hash_is_that_of_sd_scripts(tmp_path: Path, metadata: dict[str, str]) -> None:
    generator = np.random.default_rng(1)
    tensors: dict[str, NDArray[np.generic]] = {
        "b.lora_up.weight": generator.standard_normal((700, 400)).astype(np.float16),
        "b.lora_down.weight": generator.standard_normal((300, 700)).astype(np.float32),
        "a.lora_up.weight": generator.standard_normal((300, 700)).astype(np.float16),
        "b.alpha": np.array(4, np.float32),
    }
    path = tmp_path / "a.safetensors"
    save_file(tensors, path, metadata)
    # What precalculate_safetensors_hashes of sd-scripts does.
    raw = serialised(tensors, {key: value for key, value in metadata.items() if key.startswith("ss_")})
    found = hashes(read_tensors(path))
    assert found.legacy_hash == hashlib.sha256(raw[0x100000:0x110000]).hexdigest()[:8]
    start = 8 + int.from_bytes(raw[:8], "little")
    assert found.model_hash == hashlib.sha256(raw[start:]).hexdigest()
    whole = path.read_bytes()
    assert found.auto_v1 == hashlib.sha256(whole[0x100000:0x110000]).hexdigest()[:8]


def test_other_containers_have_no_hash_of_tensors(tmp_path: Path) -> None:
    seen: list[int] = []
    path = save(tmp_path / "a.gguf", pair())
    found = hashes(read_tensors(path), seen.append)
    assert found.model_hash is found.legacy_hash is found.auto_v3 is None
    assert seen == [path.stat().st_size]
