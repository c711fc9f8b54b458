from __future__ import annotations

from pathlib import Path

import pytest

from harness.layers.versions import NOT_A_BASE, ROWS
from harness.studies.names import measurement, program
from sdcpp.binding.build_folder import Build

BUILD = Build(
    identity="x",
    folder=Path(),
    library=Path("x"),
    header=Path("x"),
    record={"patches": [], "date": "2026-11-29"},
)


def test_a_build_is_asked_about_every_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that removes nothing but a suffix understands the names of the checkpoint with their prefix only."""

    def convert(_: Build, lines: list[tuple[int, str]]) -> list[str]:
        return [
            name.replace(".lora_A.weight", ".weight.lora_down").replace("lora.diff", "lora.model.diff")
            for _, name in lines
        ]

    monkeypatch.setattr(program, "convert", convert)
    found = measurement.measure(BUILD, {"WAN2": 4, "FLUX2": 7}, "1")
    rows = {(row.version, row.trainer): row for row in found.rows}
    assert {version for version, _ in rows} == {"Wan 2.1, Wan 2.2", "Flux.2 dev"}
    assert rows["Wan 2.1, Wan 2.2", "comfy"].wrong == ""
    kohya = rows["Wan 2.1, Wan 2.2", "kohya"]
    assert (kohya.right, kohya.counts) == (0, {"lost": kohya.total})
    assert kohya.leads_to == f"lora.{kohya.wrong}"
    assert "Chroma" in found.absent
    assert (found.state, found.date) == ("pristine", "2026-11-29")


def test_a_version_without_a_row_is_named() -> None:
    known = {version.name: n for n, version in enumerate(ROWS)}
    assert measurement.without_row([*known, *NOT_A_BASE]) == []
    assert measurement.without_row([*known, "NEW"]) == ["NEW"]
