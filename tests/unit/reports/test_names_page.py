from __future__ import annotations

from harness.judging.combined import combine, read
from harness.models.families.catalogue import FAMILIES, WITHOUT_MODEL
from harness.reports import names_page
from sdcpp import project


def test_the_page_has_a_row_for_every_family_scheme_and_state() -> None:
    records = sorted(project.ROOT.glob("results/families/*.jsonl*"))
    assert records
    text = names_page.page(combine(read(records), []))
    for state in ("2026-07 pristine", "2026-07 patched"):
        section = text.partition(f"## {state}\n")[2].partition("\n## ")[0]
        rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| ")][1:]
        named = {(row[0].strip("| "), row[1]) for row in rows}
        assert {family for family, _ in named} == set(FAMILIES)
        assert ("sd3", "kohya") in named
        assert ("sd3", "diffusers") in named
        # MiniT2I is not in diffusers.
        assert ("minit2i", "diffusers") not in named
    assert "`lora_unet_joint_blocks_0_context_block_attn_qkv.lora_down.weight`" in text
    assert all(family in text for family in WITHOUT_MODEL)
    assert text == (project.ROOT / "docs/names.md").read_text(encoding="utf-8")
