from __future__ import annotations

from pathlib import Path

from harness.own_model.examination import examine
from tests.unit.own_model.own_files import lora, model, revisions


def test_a_file_that_fits(tmp_path: Path) -> None:
    found = examine(lora(tmp_path / "a.safetensors"), model(tmp_path), revisions("2026-05"))
    assert found.applicable
    assert found.schemes == ("kohya",)
    assert found.patches == {}
    assert len(found.predictions) == 4


def test_a_file_for_another_family(tmp_path: Path) -> None:
    key = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    found = examine(lora(tmp_path / "a.safetensors", key=key, out=64), model(tmp_path), revisions())
    assert not found.applicable
    assert found.mismatch.startswith("a LoRA for Stable Diffusion")
    assert found.predictions == ()


def test_the_patches_and_the_name_that_help_an_older_revision(tmp_path: Path) -> None:
    key = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    path = lora(tmp_path / "a.gguf", key=key, out=64, rank=1)
    found = examine(path, None, revisions("2025-12"))
    assert found.patches == {"2025-12": ("lora-find-gguf", "lora-rank-one")}
    assert found.renamed == {}
    found = examine(lora(tmp_path / "b.gguf", key=key, out=64), None, revisions("2025-12"))
    assert found.renamed == {"2025-12": ("immediately", "at_runtime")}
