from __future__ import annotations

from pathlib import Path

from harness.formats.read import read_tensors
from harness.malformed import kernel_shapes
from harness.malformed.sound_file import sound_file
from harness.models.tiny_models import FLUX_THIN, SD1_THIN
from tests.unit.malformed.malformed_contents import content


def test_kernels_have_the_wrong_shape_and_as_many_values(tmp_path: Path) -> None:
    sound = sound_file(SD1_THIN)
    target, (role, name) = next(iter(SD1_THIN.group(kernel_shapes.GROUP).items()))
    wanted = SD1_THIN.files[role][name].shape
    key = f"lora_unet_{target.replace('.', '_')}"
    found = [r for r in kernel_shapes.recipes(SD1_THIN, sound) if not r.name.endswith("-transposed")]
    assert {recipe.name for recipe in found} == {"safetensors-kernel-1x3", "safetensors-kernel-3x1"}
    for recipe in found:
        path = tmp_path / recipe.name
        path.write_bytes(content(recipe))
        tensors = read_tensors(path).tensors
        assert sound.tensors.keys() < tensors.keys()
        down = tensors[f"{key}.lora_down.weight"].values()
        assert down.shape[2:] != wanted[2:]
        assert down[0].size == wanted[1] * wanted[2] * wanted[3]


def test_a_base_model_without_convolutions_has_no_recipes() -> None:
    assert not list(kernel_shapes.recipes(FLUX_THIN, sound_file(FLUX_THIN)))


def test_a_transposed_pair_has_as_many_values_as_one_that_fits(tmp_path: Path) -> None:
    sound = sound_file(SD1_THIN)
    [recipe] = [
        r for r in kernel_shapes.recipes(SD1_THIN, sound) if r.name == "safetensors-kernel-transposed"
    ]
    path = tmp_path / recipe.name
    path.write_bytes(content(recipe))
    own = {n: t.values() for n, t in read_tensors(path).tensors.items() if n not in sound.tensors}
    [down] = [array for name, array in own.items() if "lora_down" in name]
    [up] = [array for name, array in own.items() if "lora_up" in name]
    [key] = {name.partition(".")[0] for name in own}
    targets = {
        f"lora_unet_{t.replace('.', '_')}": ids for t, ids in SD1_THIN.group(kernel_shapes.GROUP).items()
    }
    role, name = targets[key]
    out, inner, *kernel = SD1_THIN.files[role][name].shape
    assert out != inner
    assert (down.shape[1:], up.shape[0]) == ((out, *kernel), inner)
