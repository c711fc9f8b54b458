from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.converter.modules import layout_of
from harness.converter.naming import KOHYA
from harness.converter.rewriting import Rewriting
from harness.converter.weight_change import Dense, Kronecker, LowRank, Product, WeightChange
from harness.formats.read import read_tensors
from sdcpp.errors import AdapterUnknown
from tests.unit.converter.lora_files import KEY, Arrays, pair, save
from tests.unit.converter.rewritten_tensors import close, delta, draw, stored


def new(folder: Path, arrays: Arrays | None = None, metadata: dict[str, str] | None = None) -> Rewriting:
    file = save(folder / "in.safetensors", pair() if arrays is None else arrays, metadata=metadata)
    return Rewriting(file=read_tensors(file))


def low(rows: int, rank: int, inner: int = 6) -> LowRank:
    left, right = draw(rows, rank).astype(np.float64), draw(rank, inner).astype(np.float64)
    return LowRank(left=left, right=right, shape=(rows, inner))


FACTORS = low(8, 1), low(8, 3)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (FACTORS[0], FACTORS[0].left @ FACTORS[0].right),
        (
            Product(a=FACTORS[0], b=FACTORS[1], shape=(8, 6)),
            (FACTORS[0].left @ FACTORS[0].right) * (FACTORS[1].left @ FACTORS[1].right),
        ),
        (
            Kronecker(first=FACTORS[0].left, second=FACTORS[1].right, shape=(24, 6)),
            np.kron(FACTORS[0].left, FACTORS[1].right),
        ),
        (Dense(value=FACTORS[0].left @ FACTORS[0].right, shape=(8, 6)), FACTORS[0].left @ FACTORS[0].right),
    ],
    ids=["lora", "loha", "lokr", "diff"],
)
def test_a_change_is_stored_with_at_least_the_smallest_rank(
    tmp_path: Path, change: WeightChange, wanted: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> None:
    found = new(tmp_path)
    found.make_change("k", KOHYA, lambda: change, smallest_rank=2)
    found.write(tmp_path / "out.safetensors")
    tensors = stored(tmp_path / "out.safetensors")
    assert close(delta(tensors, "k", wanted.shape), wanted)
    assert all(
        value.shape[0] > 1 for name, value in tensors.items() if name.endswith(("down.weight", "w1_b"))
    )


def test_a_scale_of_the_metadata_is_left_out(tmp_path: Path) -> None:
    found = new(tmp_path, metadata={"lora_adapter_metadata": "{}", "modelspec.title": "a"})
    found.write(tmp_path / "out.safetensors")
    assert set(read_tensors(tmp_path / "out.safetensors").metadata) == {"modelspec.title"}


def test_tensors_of_a_layer_that_fails_are_removed(tmp_path: Path) -> None:
    found = new(tmp_path)
    found.make_alpha("a.alpha", 1)
    found.make_alpha("b.alpha", 1)
    found.drop_after(1)
    assert [planned.tensor.name for planned in found.plans] == ["a.alpha"]
    assert set(found.computed) == {"a.alpha"}


def test_refusals_are_listed_by_reason(tmp_path: Path) -> None:
    found = new(tmp_path)
    found.require_complete("for x")
    found.refuse(list(layout_of(found.file).modules.values()), "it cannot be done")
    with pytest.raises(AdapterUnknown, match=rf"1 module cannot be written for x; {KEY}: it cannot be done"):
        found.require_complete("for x")
    assert found.left_out == [f"left out: {KEY}: it cannot be done"]


def test_the_summary_counts_modules(tmp_path: Path) -> None:
    found = new(tmp_path)
    found.count("renamed")
    found.count("renamed", 2)
    found.count("padded")
    assert found.summary == "3 modules renamed, 1 module padded"
