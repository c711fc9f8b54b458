from __future__ import annotations

import pytest

from harness.adapters.adapter import target_parts
from harness.adapters.adapter_file import AdapterFile
from harness.cases.case import MODES, Case
from harness.cases.families import ALL_SCHEMES
from harness.cases.families import FAMILIES as CASES
from harness.cases.fixture import BlockQuantiser
from harness.judging.combined import combine, read
from harness.layers.components import CLIP_1, CLIP_2
from harness.layers.trainers import BY_NAME, TRAINERS, Alpha
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
    assert "`VERSION_ESRGAN`" in text
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


def test_text_encoders_have_a_table_of_their_own() -> None:
    def row(trainer: str, text_encoder: str, **counts: int) -> Row:
        return Row(version="SDXL", trainer=trainer, counts=counts, example="x", text_encoder=text_encoder)

    first, second, *_ = (trainer.name for trainer in TRAINERS)
    rows = [
        row(first, "", lost=1),
        row(second, "", lost=1),
        row(first, CLIP_1, right=6),
        row(first, CLIP_2, right=1, lost=5),
        row(second, CLIP_1, lost=6),
    ]
    build = NamesOfBuild(revision="9", state="pristine", date="2026-11-29", rows=rows, absent=["SD 1"])
    text = names_page.page(combine([], []), [build])
    assert {cells[0]: cells[1] for cells in section(text, "### 9 pristine")}["SDXL"] == "0"
    table = section(text, "### 9 pristine, text encoders")
    assert [cells[1:] for cells in table if cells[0] == "SDXL"] == [
        ["CLIP, first or only", "✓", "0"],
        ["CLIP, second", "1/6", "–"],
    ]
    assert "SD 1" not in {cells[0] for cells in table}


def test_the_first_table_says_how_many_names_of_a_trainer_are_understood() -> None:
    trainer = TRAINERS[0].name
    rows = [
        Row(version=version, trainer=trainer, counts=counts, example="x", text_encoder=encoder)
        for version, counts, encoder in (
            ("SVD", {"right": 2, "lost": 1}, ""),
            ("Chroma", {"right": 4}, ""),
            ("SDXL", {"lost": 3}, CLIP_1),
        )
    ]
    build = NamesOfBuild(revision="9", state="pristine", date="2026-11-29", rows=rows, absent=[])
    first = names_page.page(combine([], []), [build]).partition("\n## ")[0]
    [found] = [line for line in first.splitlines() if line.startswith(f"| {trainer} |")]
    assert found.endswith("| 6 of 10 |")


def test_the_first_table_says_where_the_programs_of_a_trainer_store_alpha() -> None:
    rows = [
        Row(version="SVD", trainer=trainer.name, counts={"right": 1}, example="x") for trainer in TRAINERS
    ]
    build = NamesOfBuild(revision="9", state="pristine", date="2026-11-29", rows=rows, absent=[])
    first = names_page.page(combine([], []), [build]).partition("\n## ")[0]
    table = [line.strip("| ").split(" | ") for line in first.splitlines() if line.startswith("| ")]
    alphas = {cells[0]: cells[table[0].index("alpha")] for cells in table[1:]}
    assert set(alphas) == {trainer.name for trainer in TRAINERS}
    assert alphas["kohya"] == "`.alpha`"
    assert alphas["peft-model"] == "`adapter_config.json`"
    assert alphas["bare"] == "`.alpha` (OneTrainer (ORIGINAL), lightx2v); none (BFL)"
    for alpha in Alpha:
        assert any(alpha.value in cell for cell in alphas.values())
        assert f"- **{'none' if alpha is Alpha.NONE else f'`{alpha.value}`'}**: " in first


@pytest.mark.parametrize("scheme", ALL_SCHEMES)
def test_the_files_of_the_cases_have_the_alpha_that_the_page_names(scheme: str) -> None:
    base, adapter = next(
        (case.shot.base, use.file.adapter)
        for case in CASES.cases("C", MODES, BlockQuantiser())
        if isinstance(case, Case) and case.dimensions.get("scheme") == scheme
        for use in case.shot.sequence[-1]
        if isinstance(use.file, AdapterFile)
    )
    parts = list(target_parts(adapter, base))
    assert parts
    # A name for each part, so that no layer is left without alpha.
    assert {part.key("alpha") for part in parts} == {part.rows.stem + Alpha.TENSOR.value for part in parts}
    assert (adapter.rank, adapter.alpha, adapter.form) == (32, 16, "alpha")
    if scheme in BY_NAME:
        assert (Alpha.TENSOR in BY_NAME[scheme].alphas) != (scheme in names_page.without_tensor())


def test_names_that_the_patches_leave_have_a_reason() -> None:
    def row(version: str, trainer: str, **counts: int) -> Row:
        return Row(version=version, trainer=trainer, counts=counts, example="x", wrong="lost_name")

    rows = [
        row("SVD", "kohya", right=1, lost=2),
        row("SVD", "lycoris", lost=4),
        row("Anima", "kohya", right=9),
        row("Flux Fill", "xlabs", halves=1, lost=1),
    ]
    build = NamesOfBuild(revision="9", state="patched", date="2026-11-30", rows=rows)
    text = names_page.page(combine([], []), [build])
    table = section(text, "### Names that lead to no layer with the patches: 8")
    assert [row[:4] for row in table] == [
        ["SVD", "6", "kohya, lycoris", "`lost_name`"],
        ["Flux Fill", "2", "xlabs", "`lost_name`"],
    ]
    assert table[1][4] == "`sdcpp lora convert --names` gives a file with these names other ones"
