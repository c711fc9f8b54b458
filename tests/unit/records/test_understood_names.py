from __future__ import annotations

from pathlib import Path

from harness.records import understood_names
from harness.records.understood_names import NamesOfBuild, Row


def test_what_is_written_is_read(tmp_path: Path) -> None:
    row = Row(
        version="Wan", trainer="kohya", counts={"lost": 2, "right": 3}, example="a", wrong="b", leads_to="c"
    )
    build = NamesOfBuild(revision="1", state="patched", date="2026-11-29", rows=[row], absent=["Anima"])
    path = understood_names.write([build], tmp_path / "names.json")
    (found,) = understood_names.read(path)
    assert found == build
    assert understood_names.read(tmp_path / "none.json") == []
    assert (found.rows[0].right, found.rows[0].total) == (3, 5)
