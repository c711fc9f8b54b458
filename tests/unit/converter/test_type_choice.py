from __future__ import annotations

from pathlib import Path

import pytest

from harness.converter import type_choice
from harness.converter.compare import compare
from harness.converter.convert import convert
from harness.quantising.package_quantiser import PackageQuantiser
from sdcpp.errors import LossUnreachable
from tests.unit.converter.lora_files import pair, save


def test_the_measured_loss_is_below_the_bound(tmp_path: Path) -> None:
    a = save(tmp_path / "a.safetensors", pair(rank=64, out=128, inner=256) | pair(rank=8, key="lora_unet_y"))
    sizes = []
    for bound in (0.2, 0.05, 0.01):
        choice = type_choice.convert_within_loss(a, tmp_path / "b.gguf", bound, PackageQuantiser())
        assert choice.measured <= bound
        assert choice.measured == compare(a, tmp_path / "b.gguf").relative
        assert choice.predicted == pytest.approx(choice.measured, rel=0.1)
        sizes.append(choice.conversion.after)
    assert sizes == sorted(sizes)
    # With Q5_1 for all tensors the loss would exceed the bound.
    done = convert(a, tmp_path / "c.gguf", ["Q5_1"], PackageQuantiser())
    assert compare(a, tmp_path / "c.gguf").relative > 0.01
    assert done.after < sizes[-1]


def test_a_bound_that_no_type_keeps_is_unreachable() -> None:
    options = {"a": [type_choice.Option(kind="Q8_0", bytes=34, error=1.0)]}
    with pytest.raises(LossUnreachable):
        type_choice.choose(options, 1.0, 0.5)
