from __future__ import annotations

from pathlib import Path

import pytest

from harness.converter.ranks import NewRank, Ranks

MODULES = [
    NewRank(key="a", before=8, after=4, energy=9.0, lost=1.0),
    NewRank(key="b", before=None, after=2, energy=16.0, lost=0.0),
]


def test_the_conclusion_and_the_details() -> None:
    found = Ranks(
        target=Path("out.gguf"), modules=MODULES, copied=3, left_out=list("uvwxyz"), notes=["a note"]
    )
    assert found.error == pytest.approx(0.2)
    assert found.text(quiet=True) == (
        "out.gguf: 2 modules of rank 2 to 4, 3 modules copied, relative error of ΔW 20.000%"
    )
    lines = found.text(verbose=True).splitlines()
    assert lines[1:4] == ["   33.333%  rank 8 -> 4  a", "    0.000%  rank - -> 2  b", "a note"]
    assert lines[4:] == [f"left out: {letter}" for letter in "uvwxyz"]
    assert found.text().splitlines()[-1] == "left out: 1 more, which -v shows"


def test_full_differences() -> None:
    full = NewRank(key="c", before=None, after=None, energy=1.0)
    found = Ranks(target=Path("out"), modules=[full])
    assert found.text(verbose=True).splitlines() == [
        "out: 1 full difference, relative error of ΔW 0.000%",
        "    0.000%  rank - -> full  c",
    ]
    assert Ranks(target=Path("out"), copied=1).text() == "out: 1 module copied, relative error of ΔW 0.000%"
    assert Ranks(target=Path("out")).as_json()["relative_error"] == 0
