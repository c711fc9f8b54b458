from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.converter.factor_writer import FactorWriter, require_finite, stored_kind
from harness.converter.low_rank import RankChoice
from harness.converter.naming import KOHYA
from harness.converter.rewriting import Rewriting
from harness.converter.scratch_file import scratch_file
from harness.converter.storage import Storage
from harness.converter.weight_change import Dense, Kronecker, LowRank, Product
from harness.formats.read import read_tensors
from sdcpp.errors import AdapterUnknown
from tests.unit.converter.lora_files import KEY, pair, save
from tests.unit.converter.rewritten_tensors import draw, product, stored


@pytest.mark.parametrize(
    ("kinds", "kind"),
    [
        (["F16", "F16"], "F16"),
        (["BF16"], "BF16"),
        (["Q4_K", "F16"], "F16"),
        (["F8_E4M3"], "F16"),
        (["F16", "BF16"], "F32"),
        (["F64"], "F32"),
        ([], "F32"),
    ],
)
def test_the_type_of_computed_factors(kinds: list[str], kind: str) -> None:
    assert stored_kind(kinds) == kind


def test_factors_with_a_scale(tmp_path: Path) -> None:
    value = draw(6, 5).astype(np.float64)
    found = Rewriting(file=read_tensors(save(tmp_path / "a.safetensors", pair())))
    with scratch_file(tmp_path / "b.safetensors") as scratch:
        writer = FactorWriter(found=found, scratch=scratch)
        rank = writer.shorten(
            KEY,
            KOHYA,
            Dense(value=value, shape=(6, 5)),
            RankChoice(rank=3),
            stored=Storage(kind="F16", scale=0.25),
            before=5,
        )
        large = LowRank(left=np.full((2, 1), 1e6), right=np.ones((1, 2)), shape=(2, 2))
        exact = writer.write("lora_te_x", KOHYA, large, stored=Storage(kind="F16"))
        writer.write_values("lora_te_y.diff_b", Dense(value=np.arange(3.0), shape=(3,)))
        found.write(tmp_path / "b.safetensors")
    after = stored(tmp_path / "b.safetensors")
    sigma = np.linalg.svd(value, compute_uv=False)
    assert (rank.before, rank.after) == (5, 3)
    assert rank.energy == pytest.approx(np.sum(sigma**2))
    assert rank.error == pytest.approx(np.sqrt(np.sum(sigma[3:] ** 2) / np.sum(sigma**2)))
    assert after[f"{KEY}.alpha"] == 0.75
    got = 0.25 * product(after[f"{KEY}.lora_up.weight"], after[f"{KEY}.lora_down.weight"])
    assert np.linalg.norm(got - value) == pytest.approx(np.sqrt(np.sum(sigma[3:] ** 2)), rel=1e-2)
    assert (exact.after, exact.error) == (1, 0)
    tensors = read_tensors(tmp_path / "b.safetensors").tensors
    assert tensors["lora_te_x.lora_up.weight"].kind == "F32"
    assert tensors[f"{KEY}.lora_up.weight"].kind == "F16"
    assert np.array_equal(after["lora_te_y.diff_b"], [0, 1, 2])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(value: float) -> None:
    broken, sound = np.array([[1.0, value]]), np.ones((1, 2))
    low = LowRank(left=np.ones((1, 1)), right=broken, shape=(1, 2))
    fine = LowRank(left=np.ones((1, 1)), right=sound, shape=(1, 2))
    for change in (
        Dense(value=broken, shape=(1, 2)),
        low,
        Product(a=fine, b=low, shape=(1, 2)),
        Kronecker(first=sound, second=broken, shape=(1, 4)),
    ):
        with pytest.raises(AdapterUnknown, match="NaN or infinite"):
            require_finite("x", change)
    require_finite("x", Product(a=fine, b=fine, shape=(1, 2)))
