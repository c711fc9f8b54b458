from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from harness.converter.combined_layers import CombinedLayers, Source, combined_layers
from harness.converter.decomposition import BaseModel
from harness.converter.factor_writer import FactorWriter
from harness.converter.layer_combiner import LayerCombiner
from harness.converter.low_rank import RankChoice
from harness.converter.modules import layout_of
from harness.converter.ranks import Ranks
from harness.converter.rewriting import Rewriting
from harness.converter.scratch_file import scratch_file
from harness.formats.read import read_tensors
from tests.unit.converter.lora_files import KEY, Arrays, pair, save
from tests.unit.converter.rewritten_tensors import draw


def layers(folder: Path, *files: Arrays) -> CombinedLayers:
    sources = []
    for number, arrays in enumerate(files):
        file = read_tensors(save(folder / f"{number}.safetensors", arrays))
        sources.append(Source(file=file, layout=layout_of(file), multiplier=1.0))
    return combined_layers(sources)


def combined(folder: Path, *files: Arrays, choice: RankChoice | None = None) -> tuple[Rewriting, Ranks]:
    """Add every layer of some files, and return what was added."""
    of = layers(folder, *files)
    found, result = Rewriting(file=of.sources[0].file), Ranks(target=folder / "out.safetensors")
    with scratch_file(result.target) as scratch:
        combiner = LayerCombiner(
            writer=FactorWriter(found=found, scratch=scratch),
            layers=of,
            model=BaseModel(None),
            choice=choice,
            result=result,
        )
        for groups in of.groups:
            combiner.add(groups)
    return found, result


def test_what_is_copied_and_what_is_computed(tmp_path: Path) -> None:
    one = pair(rank=4) | pair(rank=8, key="lora_te_x") | {"lora_te_y.diff_b": draw(3)}
    two = pair(rank=2, seed=3)
    found, result = combined(tmp_path, one, two)
    assert (result.copied, [(each.before, each.after) for each in result.modules]) == (2, [(4, 6)])
    assert {planned.tensor.name for planned in found.plans if planned.why == "as stored"} == {
        "lora_te_x.lora_down.weight",
        "lora_te_x.lora_up.weight",
    }
    _, result = combined(tmp_path, one, two, choice=RankChoice(rank=6))
    assert (result.copied, [each.after for each in result.modules]) == (1, [6, 6])
    _, result = combined(tmp_path, one, two, choice=RankChoice(rank=8))
    assert (result.copied, [each.after for each in result.modules]) == (2, [6])


def test_nothing_is_left_of_a_layer_that_is_refused(tmp_path: Path) -> None:
    dora = pair(rank=4) | {f"{KEY}.dora_scale": np.ones((64, 1), np.float32)}
    found, result = combined(tmp_path, dora, pair(rank=2))
    assert (found.plans, found.computed, result.modules, result.copied) == ([], {}, [], 0)
    assert [each.key for each in found.refused] == [KEY]


@pytest.mark.parametrize("shape", [(), (5,)])
def test_a_broken_module_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    broken = pair(rank=2) | {f"{KEY}.lora_up.weight": np.ones(shape, np.float32)}
    found, result = combined(tmp_path, broken, pair(rank=4, key="lora_te_x"))
    assert ([each.key for each in found.refused], result.copied) == ([KEY], 1)
    assert re.search("is not a matrix|cannot be multiplied", found.refused[0].reason)


def test_nan_is_refused(tmp_path: Path) -> None:
    values = pair(rank=2)
    values[f"{KEY}.lora_up.weight"][1, 1] = np.nan
    found, _ = combined(tmp_path, values, pair(rank=2), choice=RankChoice(rank=1))
    assert [each.reason for each in found.refused] == ["a value is NaN or infinite"]
