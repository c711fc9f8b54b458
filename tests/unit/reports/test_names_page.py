from __future__ import annotations

from harness.judging.combined import combine, read
from harness.layers.trainers import TRAINERS
from harness.layers.versions import ROWS
from harness.models.families.catalogue import FAMILIES, WITHOUT_MODEL
from harness.records import understood_names
from harness.records.understood_names import NamesOfBuild, Row
from harness.reports import names_page
from sdcpp import project


def section(text: str, title: str) -> list[list[str]]:
    """Return the cells of the rows of the table under a title, without its head."""
    part = text.partition(f"\n{title}\n")[2].partition("\n#")[0]
    rows = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| ")]
    return rows[1:]


def test_the_page_has_a_row_for_every_version_family_and_scheme() -> None:
    records = sorted(project.ROOT.glob("results/families/*.jsonl*"))
    assert records
    combined_records = combine(read(records), [])
    recorded = {row.base for row in combined_records.rows}
    assert recorded <= set(FAMILIES)
    text = names_page.page(combined_records, understood_names.read())
    names, _, pictures = text.partition("\n## By pictures\n")
    for state in ("2026-07 pristine", "2026-07 patched"):
        assert [row[0] for row in section(names, f"### {state}")] == [version.title for version in ROWS]
        named = {(row[0], row[1]) for row in section(pictures, f"### {state}")}
        assert {family for family, _ in named} == recorded
        assert ("sd3", "kohya") in named
        assert ("sd3", "diffusers") in named
        # MiniT2I is not in diffusers.
        assert ("minit2i", "diffusers") not in named
    versions = section(pictures, "## The versions, and the models that stand for them")
    assert [row[0] for row in versions] == [version.title for version in ROWS]
    assert "`lora_unet_joint_blocks_0_context_block_attn_qkv.lora_down.weight`" in text
    assert all(family in text for family in WITHOUT_MODEL)
    assert text == (project.ROOT / "docs/names.md").read_text(encoding="utf-8")


def test_a_cell_has_the_number_of_names_that_are_understood() -> None:
    def row(trainer: str, **counts: int) -> Row:
        return Row(version="SVD", trainer=trainer, counts=counts, example="x")

    first, second, third, *_ = (trainer.name for trainer in TRAINERS)
    rows = [row(first, right=2), row(second, right=1, lost=2), row(third, lost=2)]
    build = NamesOfBuild(revision="9", state="pristine", date="2026-11-29", rows=rows, absent=["Anima"])
    table = section(names_page.page(combine([], []), [build]), "### 9 pristine")
    found = {cells[0]: cells[1:] for cells in table}
    assert found["SVD"] == ["✓", "1/3", "0"]
    assert found["Chroma"] == ["–", "–", "–"]
    assert found["Anima"][0] == "not in this revision"
