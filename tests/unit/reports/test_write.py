from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from harness.reports import write
from tests.unit.example_records import example


def test_reports_are_written_as_whole_files(tmp_path: Path) -> None:
    records = example()
    paths = write.write(records, tmp_path / "new")
    assert [path.name for path in paths] == ["report.md", "report.html", "junit.xml", "bugs.md"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(path.name for path in paths)
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in write.write(records, tmp_path / "new")] == before
    assert ET.fromstring(before[2]).get("tests") == "168"  # noqa: S314 - our own
