from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.converter import table
from harness.converter.convert import convert
from harness.converter.table import TypeRow
from harness.formats.tensor import Bytes
from harness.quantising.package_quantiser import PackageQuantiser
from tests.unit.converter.lora_files import pair, save


def test_each_type_has_a_plain_row_and_a_rebalanced_one_that_loses_less(tmp_path: Path) -> None:
    source = save(tmp_path / "a.safetensors", pair())
    rows = [*chain(*table.type_rows(source, PackageQuantiser(), ["F16", "Q8_0", "Q4_0"]))]
    assert [(row.kind, row.rebalanced) for row in rows] == [
        ("F16", False),
        ("Q8_0", False),
        ("Q8_0", True),
        ("Q4_0", False),
        ("Q4_0", True),
    ]
    f16, q8_0, q8_0_rebalanced, q4_0, _ = rows
    assert f16.bytes > q8_0.bytes == q8_0_rebalanced.bytes > q4_0.bytes
    assert f16.loss < q8_0.loss < q4_0.loss
    assert q8_0_rebalanced.loss < q8_0.loss
    assert 8.5 < q8_0.bits < 9
    assert all(row.effect is None for row in rows)
    assert sorted(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("kinds", ["Q8_0", "Q4_0,F16"])
def test_a_rebalanced_file_is_the_same_whether_its_plain_factors_are_rounded_again_or_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kinds: str
) -> None:
    source = save(tmp_path / "a.safetensors", {**pair(), **pair(rank=20, key="lora_unet_other")})
    quantiser = PackageQuantiser()
    plain, again, read = (tmp_path / f"{name}.gguf" for name in ("plain", "again", "read"))
    convert(source, plain, kinds.split(","), quantiser)
    convert(source, again, kinds.split(","), quantiser, rebalance=True)
    rounded: list[str] = []
    nearest = PackageQuantiser.nearest

    def counted(self: PackageQuantiser, values: np.ndarray[Any, Any], kind: str) -> Bytes:
        rounded.append(kind)
        return nearest(self, values, kind)

    monkeypatch.setattr(PackageQuantiser, "nearest", counted)
    convert(source, read, kinds.split(","), quantiser, rebalance=True, plain=plain)
    assert read.read_bytes() == again.read_bytes() != plain.read_bytes()
    fewer = len(rounded)
    rounded.clear()
    convert(source, again, kinds.split(","), quantiser, rebalance=True)
    assert fewer < len(rounded)


def test_padding_the_rank_allows_to_quantise_short_rows(tmp_path: Path) -> None:
    source = save(tmp_path / "a.safetensors", pair(rank=20))
    [rows] = table.type_rows(source, PackageQuantiser(), ["Q8_0"], pad=True)
    assert [(row.rebalanced, row.padded) for row in rows] == [(False, False), (True, False), (True, True)]
    assert rows[2].loss < 0.01


def test_a_line_shows_the_plain_and_the_rebalanced_result_and_the_gain() -> None:
    def row(kind: str, loss: float, effect: float | None = None, *, rebalanced: bool = False) -> TypeRow:
        return TypeRow(
            kind=kind, rebalanced=rebalanced, padded=False, bytes=34000, bits=8.5, loss=loss, effect=effect
        )

    shown = table.lines(
        [[row("F16", 0.0001)], [row("Q4_0", 0.08, 0.09), row("Q4_0", 0.04, 0.05, rebalanced=True)]]
    )
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in shown]
    assert {len(line) for line in lines} == {8}
    assert lines[2:] == [
        ["F16", "34.0 kB", "8.50", "0.010%", "", "", "", ""],
        ["Q4_0", "34.0 kB", "8.50", "8.000%", "4.000%", "2.00 x", "9.00%", "5.00%"],
    ]


def test_the_default_types_are_those_that_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "USUAL", ("F16", "Q8_0", "Q2_K"))
    source = save(tmp_path / "a.safetensors", pair())
    rows = chain(*table.type_rows(source, PackageQuantiser()))
    assert {row.kind for row in rows} == {"F16", "Q8_0"}


def test_the_line_of_a_type_comes_before_the_next_type_is_converted() -> None:
    def types() -> Iterator[list[TypeRow]]:
        for kind in ("F16", "Q8_0"):
            asked.append(kind)
            yield [TypeRow(kind=kind, rebalanced=False, padded=False, bytes=1, bits=8.0, loss=0.1)]

    asked: list[str] = []
    for lines in (table.lines(types()), table.text(None, types())):
        asked.clear()
        assert [next(lines).split("|")[1].strip() for _ in range(3)] == ["type", "---", "F16"]
        assert asked == ["F16"]


def test_the_text_says_which_tensors_have_which_type(tmp_path: Path) -> None:
    path = save(tmp_path / "a.safetensors", pair())
    types = list(table.type_rows(path, PackageQuantiser(), ["Q8_0"]))
    head, *lines = table.text(path, types, verbose=True)
    assert head == f"{path}:"
    assert lines[-2:] == ["Q8_0: 2 Q8_0, 1 F32 tensors", "Q8_0, rebalanced: 2 Q8_0, 1 F32 tensors"]
    assert list(table.text(None, types, quiet=True)) == [lines[2]]
