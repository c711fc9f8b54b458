from __future__ import annotations

from pathlib import Path

import pytest

from harness.converter import short_rows
from harness.converter.convert import convert
from harness.quantising.package_quantiser import PackageQuantiser
from tests.unit.converter.lora_files import pair, save

HALF = "40% of the values stay float: rows of 16 are no whole blocks of 32"


@pytest.mark.parametrize(
    ("kinds", "rank", "said"),
    [
        # Padding makes a Q8_0 file larger than the one with half of it in F16.
        (
            ["Q8_0"],
            16,
            f"{HALF} (Q8_0); with --type Q5_0 --rebalance --pad-rank all of a LoRA is quantised, ",
        ),
        (
            ["Q4_0"],
            16,
            f"{HALF} (Q4_0); with --type Q4_0 --rebalance --pad-rank all of a LoRA is quantised, ",
        ),
        (
            ["Q4_0"],
            4,
            "40% of the values stay float: rows of 4 are no whole blocks of 32 (Q4_0); no type with",
        ),
        (
            ["TQ1_0"],
            32,
            "100% of the values stay float: rows of 32, 96 are no whole blocks of 256 (TQ1_0); name a",
        ),
        (["Q8_0"], 32, ""),
        (["F16"], 16, ""),
        ([], 16, ""),
    ],
)
def test_matrices_that_stay_float_are_explained(
    tmp_path: Path, kinds: list[str], rank: int, said: str
) -> None:
    source = save(tmp_path / "a.safetensors", pair(rank=rank))
    found = short_rows.advice(convert(source, tmp_path / "b.gguf", kinds, PackageQuantiser()).plans)
    assert found.startswith(said) if said else not found


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0"])
def test_the_advice_does_what_it_says(tmp_path: Path, kind: str) -> None:
    source = save(tmp_path / "a.safetensors", pair(rank=16))
    first = convert(source, tmp_path / "b.gguf", [kind], PackageQuantiser())
    advised = short_rows.advice(first.plans).partition("--type ")[2].split()
    second = convert(source, tmp_path / "c.gguf", [advised[0]], PackageQuantiser(), rebalance=True, pad=True)
    assert not short_rows.advice(second.plans)
    assert second.bits < first.bits
    # The scalars make the file a little larger.
    assert abs(second.bits - float(advised[advised.index("with") + 1])) < 0.1
