from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.cases.settings import FLAGS, ContextSettings
from harness.own_model.examination import examine
from harness.own_model.model import read_model
from harness.own_model.prediction import Prediction, auto_mode
from harness.records.verdict import Verdict
from tests.unit.converter.lora_files import pair, save
from tests.unit.own_model.own_files import KOHYA, flux, lora, model, peft, quantised_flux, revisions


def expected(path: Path, folder: Path, *names: str) -> dict[tuple[str, bool, str], Prediction]:
    examined = examine(path, model(folder), revisions(*names))
    return {(p.revision, p.patched, p.mode): p for p in examined.predictions}


def verdicts(
    path: Path, folder: Path, name: str = "2026-05", *, patched: bool = False
) -> list[Verdict | None]:
    found = expected(path, folder, name)
    return [found[name, patched, mode].verdict for mode in ("immediately", "at_runtime")]


def test_a_float_lora_with_known_names_passes(tmp_path: Path) -> None:
    assert verdicts(lora(tmp_path / "a.safetensors"), tmp_path) == [Verdict.PASS, Verdict.PASS]


def test_a_gguf_file_is_not_found_by_older_revisions(tmp_path: Path) -> None:
    found = expected(lora(tmp_path / "a.gguf"), tmp_path, "2025-12")
    plain = found["2025-12", False, "at_runtime"]
    assert plain.verdict is Verdict.NO_EFFECT
    assert plain.causes[0].patch == "lora-find-gguf"
    assert plain.modules == plain.total == 1


def test_what_was_never_tried_has_no_verdict(tmp_path: Path) -> None:
    assert verdicts(lora(tmp_path / "a.safetensors"), tmp_path, "2025-12") == [None, None]


@pytest.mark.parametrize(
    ("key", "out", "verdict"),
    [
        # The rows of reports from practice: norm_out's halves, OneTrainer, names without prefix, outer layers.
        ("transformer.norm_out.linear", 128, Verdict.WRONG),
        ("lora_transformer_transformer_blocks_0_attn_to_out_0", 64, Verdict.NO_EFFECT),
        ("double_blocks.0.img_attn.proj", 64, Verdict.NO_EFFECT),
        ("base_model.model.transformer_blocks.0.attn.to_out.0", 64, Verdict.NO_EFFECT),
        ("lora_unet_img_in", 64, Verdict.NO_EFFECT),
    ],
)
def test_names_that_a_revision_does_not_know(tmp_path: Path, key: str, out: int, verdict: Verdict) -> None:
    path = peft(tmp_path / "a.safetensors", key, out)
    if "." not in key:
        path = lora(tmp_path / "a.safetensors", key=key, out=out)
    assert verdicts(path, tmp_path) == [verdict, verdict]
    assert verdicts(path, tmp_path, patched=True) == [Verdict.PASS, Verdict.PASS]


def test_the_default_targets_of_a_training_script_abort_at_run_time(tmp_path: Path) -> None:
    prefix = "transformer.single_transformer_blocks.0.attn.to_"
    tensors = {}
    for part in "qkv":
        tensors[f"{prefix}{part}.lora_A.weight"] = np.ones((8, 64), np.float32)
        tensors[f"{prefix}{part}.lora_B.weight"] = np.ones((64, 8), np.float32)
    assert verdicts(save(tmp_path / "a.safetensors", tensors), tmp_path) == [Verdict.PASS, Verdict.ABORT]


def test_an_alpha_of_the_metadata_is_wrong_with_every_build(tmp_path: Path) -> None:
    declared = {"lora_adapter_metadata": json.dumps({"transformer.r": 8, "transformer.lora_alpha": 4})}
    path = peft(
        tmp_path / "a.safetensors", "transformer.transformer_blocks.0.attn.to_out.0", metadata=declared
    )
    assert verdicts(path, tmp_path, patched=True) == [Verdict.WRONG, Verdict.WRONG]


def test_a_part_that_is_ignored_makes_the_whole_wrong(tmp_path: Path) -> None:
    both = pair(out=192, inner=64, key=KOHYA) | pair(out=64, inner=64, key="lora_unet_img_in")
    path = save(tmp_path / "a.safetensors", both)
    found = expected(path, tmp_path, "2026-05")["2026-05", False, "at_runtime"]
    assert (found.verdict, found.modules, found.total) == (Verdict.WRONG, 1, 2)


def test_a_container_that_a_fork_cannot_read(tmp_path: Path) -> None:
    found = expected(lora(tmp_path / "a.ckpt"), tmp_path, "2026-07")["2026-07", False, "at_runtime"]
    assert found.verdict is Verdict.UNSUPPORTED


def test_the_mode_auto() -> None:
    assert auto_mode(quantised=True) == "at_runtime"
    assert auto_mode(quantised=False) == "immediately"


def changed(folder: Path, of: Path, name: str, *, patched: bool = False) -> dict[str, Verdict | None]:
    found = examine(
        lora(folder / "a.safetensors"), read_model({"diffusion_model": of}), revisions(name)
    ).changed
    return {each.mode: each.verdict for each in found if each.patched is patched}


def test_a_picture_after_other_multipliers(tmp_path: Path) -> None:
    plain = flux(tmp_path / "flux.safetensors")
    assert changed(tmp_path, plain, "2026-07")["immediately"] is Verdict.WRONG
    assert changed(tmp_path, plain, "2026-07", patched=True)["immediately"] is Verdict.PASS
    assert changed(tmp_path, plain, "2026-07")["at_runtime"] is Verdict.PASS


def test_a_quantised_model_keeps_a_residue_of_other_multipliers(tmp_path: Path) -> None:
    coarse = quantised_flux(tmp_path / "flux.gguf")
    # Without patches this mode aborts at the first picture already, so nothing is said of later ones.
    assert changed(tmp_path, coarse, "2026-07") == {"at_runtime": Verdict.PASS}
    assert changed(tmp_path, coarse, "2026-05", patched=True)["immediately"] is Verdict.WRONG


@pytest.mark.parametrize("flag", FLAGS)
def test_a_use_is_predicted_where_it_was_tried(tmp_path: Path, flag: str) -> None:
    path = lora(tmp_path / "a.safetensors")
    context = ContextSettings(**{flag: True})
    found = examine(path, model(tmp_path), revisions("2026-07"), context=context)
    known = flag != "circular_x"
    assert len(found.uses) == known
    lacked = flag == "free_params_immediately"
    assert {each.verdict for each in found.predictions} == {Verdict.UNSUPPORTED if lacked else Verdict.PASS}
    if lacked:
        return
    found = examine(path, model(tmp_path), revisions("2026-07"), "metal", context=context)
    assert {each.verdict for each in found.predictions} == {None}


def test_the_reason_why_a_flag_is_not_supported(tmp_path: Path) -> None:
    context = ContextSettings(enable_mmap=True)
    found = examine(lora(tmp_path / "a.safetensors"), model(tmp_path), revisions("2025-12"), context=context)
    assert {each.causes[0].reason for each in found.predictions} == {"the library does not map model files"}


def test_changes_under_another_use_were_not_tried(tmp_path: Path) -> None:
    context = ContextSettings(diffusion_flash_attn=True)
    found = examine(lora(tmp_path / "a.safetensors"), model(tmp_path), revisions("2026-07"), context=context)
    assert {each.verdict for each in found.changed if each.patched} == {None}
