from __future__ import annotations

from harness.judging.combined import combine, read
from harness.layers.versions import ROWS
from harness.reports import support_by_family
from sdcpp import project


def test_every_version_has_a_row_in_every_state() -> None:
    records = sorted(project.ROOT.glob("results/families/*.jsonl*"))
    lines = support_by_family.section(combine(read(records), []))
    text = "\n".join(lines)
    for state in ("2026-07 pristine", "2026-07 patched"):
        table = text.partition(f"### {state}\n")[2].partition("\n#")[0]
        rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
        assert [row[0] for row in rows] == [version.title for version in ROWS]
        by_version = {row[0]: row[1:] for row in rows}
        assert by_version["Z-Image"][0] == "z-image"
        for title in ("Z-Image", "Qwen-Image", "Wan 2.1, Wan 2.2"):
            assert "–" not in by_version[title]
        assert set(by_version["SVD"][1:]) == {"–"}


def test_there_is_no_section_without_records() -> None:
    assert support_by_family.section(combine([], [])) == []
