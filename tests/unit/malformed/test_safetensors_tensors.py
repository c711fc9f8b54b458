from __future__ import annotations

import json
import struct
from pathlib import Path

from harness.malformed import safetensors_tensors
from harness.malformed.sound_file import SoundFile
from tests.unit.malformed.malformed_contents import content, readable

#: Files in which only the name of a tensor is another, or whose shape has more dimensions of 1.
WELL_FORMED = {
    *(f"safetensors-name-{word}" for word in ("128-bytes", "100-kib", "percent", "path", "prefix-only")),
    *("safetensors-shape-six-dimensions", "safetensors-shape-thousand-dimensions"),
}


def test_a_strict_reader_refuses_all_but_those_whose_fields_agree(sound: SoundFile, tmp_path: Path) -> None:
    assert readable(safetensors_tensors.recipes(sound), tmp_path / "x.safetensors") == WELL_FORMED


def test_headers_are_json_and_one_tensor_alone_is_another(sound: SoundFile) -> None:
    changed = f"{sound.first}.lora_down.weight"
    for recipe in safetensors_tensors.recipes(sound):
        file = content(recipe)
        [length] = struct.unpack_from("<Q", file)
        entries = json.loads(file[8 : 8 + length], object_pairs_hook=list)
        assert file[8 + length :] == b"".join(array.tobytes() for array in sound.tensors.values())
        others = [name for name, _ in entries[1:] if name != changed]
        assert set(sound.tensors) - {changed} <= set(others), recipe.name
        assert len(entries) == 1 + len(sound.tensors), recipe.name
