from __future__ import annotations

import json
from pathlib import Path

from harness.cases.settings import ContextSettings
from harness.own_model import advice, text
from harness.own_model.examination import examine
from harness.text import json_text
from tests.unit.converter.lora_files import pair, save
from tests.unit.own_model.own_files import KOHYA, lora, model, revisions


def test_the_text_begins_with_the_conclusion_and_explains_the_table(tmp_path: Path) -> None:
    path = lora(tmp_path / "a.safetensors", key="lora_unet_img_in", out=64)
    found = examine(path, model(tmp_path), revisions("2026-05"))
    said = text.examination(found, advice.conclusion(found), ["  tried: nothing"])
    lines = said.splitlines()
    assert lines[0].startswith(
        f"{path}: a LoRA for FLUX.1: it fits the model; without patches, 2026-05 ignores it"
    )
    assert "  model: FLUX.1, F32, 0.25 MB (flux.safetensors); 1 of 1 module fits" in lines
    assert "  2026-05      without  NO_EFFECT [1]  NO_EFFECT [1]" in lines
    assert any(line.startswith("  [1] convert_sep_to_dot") and line.endswith("]") for line in lines)
    assert "  tried: nothing" in lines
    assert "docs/findings.md" not in said
    assert "docs/findings.md" in text.examination(found, "", verbose=True)
    assert text.examination(found, "short", quiet=True) == f"{path}: short"


def test_problems_are_cut_and_hostile_names_are_escaped(tmp_path: Path) -> None:
    tensors = pair(out=192, inner=64, key=KOHYA)
    for number in range(8):
        tensors |= pair(rank=8, out=8, inner=48, key=f"lora_unet_double_blocks_{number}_\x1b[2Jx")
    path = save(tmp_path / "a.safetensors", tensors)
    found = examine(path, model(tmp_path), revisions("2026-05"))
    said = text.examination(found, advice.conclusion(found))
    assert "3 more, which --verbose shows" in said
    assert "\x1b" not in said


def test_json(tmp_path: Path) -> None:
    found = examine(lora(tmp_path / "a.gguf"), model(tmp_path), revisions())
    data = json.loads(json_text(text.as_json(found)))
    assert data["model"]["auto"] == "immediately"
    assert data["fit"] == {"modules": 1, "fitting": 1, "problems": [], "elsewhere": []}
    assert {each["revision"] for each in data["expected"]} == {"2025-12", "2026-05", "2026-07"}
    assert data["works"] is False


def test_the_table_after_changes_is_shown_where_something_fails(tmp_path: Path) -> None:
    path = lora(tmp_path / "a.safetensors")
    found = examine(path, model(tmp_path), revisions("2026-05", "2026-07"))
    lines = text.examination(found, "").splitlines()
    after = lines[
        lines.index("  of a later picture without it in the same process, after several multipliers:") :
    ]
    assert [line.split()[:3] for line in after[2:4]] == [
        ["2026-07", "without", "WRONG"],
        ["2026-07", "with", "PASS"],
    ]
    assert "later picture" not in text.examination(examine(path, model(tmp_path), revisions("2026-05")), "")
    data = text.as_json(found)
    assert {each["revision"] for each in data["expected_after_changes"]} == {"2026-05", "2026-07"}


def test_the_table_names_the_cases_of_the_uses(tmp_path: Path) -> None:
    context = ContextSettings(enable_mmap=True, offload_params_to_cpu=True)
    found = examine(lora(tmp_path / "a.safetensors"), model(tmp_path), revisions("2026-05"), context=context)
    assert "  expected with offload-params and mmap of  patches  " in text.examination(found, "")
    assert text.as_json(found)["uses"] == ("offload-params", "mmap")
