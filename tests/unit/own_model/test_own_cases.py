from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.cases.case import RecordedPicture, Tolerance
from harness.own_model import own_cases
from harness.own_model.model import UserModel, read_model
from harness.own_model.own_base import LinkedAdapter, MergedBase
from harness.own_model.own_cases import ROUNDED_TOLERANCE, TOLERANCE, OwnCases, own_base
from harness.own_model.reference import Adapter
from tests.unit.converter.lora_files import pair, save
from tests.unit.own_model.own_files import KOHYA, flux, lora, model, zeros

pytestmark = pytest.mark.usefixtures("cache_folder")
MODES = ("immediately", "at_runtime")


def bf16(folder: Path) -> UserModel:
    plain = read_model({"model": flux(folder / "flux.safetensors")})
    stored = {name: zeros(*shape).astype("<u2") for name, shape in plain.parts[0].shapes.items()}
    return read_model({"model": save(folder / "b.safetensors", stored, dict.fromkeys(stored, "BF16"))})


def maker(folder: Path, of: UserModel, path: Path | None = None, **more: Any) -> OwnCases:
    path = path or lora(folder / "a.safetensors")
    return OwnCases(
        base=own_base("m", of, 60.0),
        adapter=Adapter(path=path, multiplier=0.5),
        file=LinkedAdapter(path=folder / "links" / "a.safetensors", target=path, name="a"),
        label="a",
        available=MODES,
        **more,
    )


def test_every_mode_is_compared_with_the_merged_model(tmp_path: Path) -> None:
    first, second = maker(tmp_path, model(tmp_path)).cases("case", MODES)
    assert (first.shot.mode, second.shot.mode) == MODES
    assert first.without == second.without
    assert first.without.mode == "at_runtime"
    assert first.wanted is not None
    assert isinstance(first.wanted.base, MergedBase)
    assert first.wanted.base.name == "m-merged-a@0.5"
    assert second.wanted is not None
    assert first.wanted.name == second.wanted.name
    assert first.tolerance is TOLERANCE
    assert first.shot.base.demand is not None
    assert first.shot.base.demand.timeout == 60.0


def test_where_the_library_rounds_the_reference_is_rounded(tmp_path: Path) -> None:
    cases = maker(tmp_path, bf16(tmp_path)).cases("case", MODES)
    assert [case.wanted.base.name for case in cases if case.wanted] == [
        "m-merged-a@0.5-rounded",
        "m-merged-a@0.5",
    ]


def test_a_model_that_is_too_large_as_f16_is_rounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_cases, "total_memory", lambda: 100_000)
    found = maker(tmp_path, bf16(tmp_path)).cases("case", ["at_runtime"])[0]
    assert found.wanted is not None
    assert found.wanted.base.name.endswith("-rounded")
    assert found.tolerance is ROUNDED_TOLERANCE
    assert found.shot.base.demand is not None
    assert found.shot.base.demand.keeps_state


def test_a_recorded_picture_and_the_tolerance_of_the_caller(tmp_path: Path) -> None:
    recorded, tolerance = RecordedPicture(digest="x"), Tolerance(bound=0.3, why="so")
    [found] = maker(tmp_path, model(tmp_path), recorded=recorded, tolerance=tolerance).cases(
        "case", ["immediately"]
    )
    assert (found.wanted, found.recorded, found.tolerance) == (None, recorded, tolerance)


def test_without_a_reference_the_reason_is_kept(tmp_path: Path) -> None:
    path = save(tmp_path / "b.safetensors", {**pair(out=192, inner=64, key=KOHYA), "what": zeros(4)})
    [found] = maker(tmp_path, model(tmp_path), path).cases("case", ["immediately"])
    assert (found.wanted, found.no_wanted) == (None, "what is not understood")


def test_after_other_multipliers_the_picture_is_that_of_a_new_context(tmp_path: Path) -> None:
    [case] = maker(tmp_path, model(tmp_path)).changes("case", ["immediately"], 2)
    assert case.name == "case-changing-multipliers"
    assert len(case.shot.sequence) == 24
    assert case.shot.sequence[0][0].multiplier == 0.5
    assert case.shot.sequence[-1] == ()
    assert case.wanted == case.without
    assert case.scale is not None
    assert isinstance(case.scale.base, MergedBase)


def test_without_a_reference_the_effect_in_the_same_mode_is_the_scale(tmp_path: Path) -> None:
    path = save(tmp_path / "b.safetensors", {**pair(out=192, inner=64, key=KOHYA), "what": zeros(4)})
    maker_ = maker(tmp_path, model(tmp_path), path)
    [case], [plain] = maker_.changes("case", ["immediately"], 1), maker_.cases("case", ["immediately"])
    assert (case.scale, case.no_wanted) == (plain.shot, "")
