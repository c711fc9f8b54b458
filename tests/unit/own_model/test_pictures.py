from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.cases.case import Shot
from harness.own_model import own_cases, pictures
from harness.own_model.pictures import Settings, Trial, try_adapter
from harness.own_model.reference import Adapter
from harness.records.record import Observation, Writer
from harness.records.verdict import Verdict
from harness.running import pool
from sdcpp.binding.build_folder import Build
from tests.unit.converter.lora_files import pair, save
from tests.unit.own_model.own_files import KOHYA, lora, model, zeros

PLAIN, WANTED = 100, 120
Outcome = int | str
#: The options of the last call of ``run_shots``.
OPTIONS: dict[str, Any] = {}


def fake_build(folder: Path) -> Build:
    header = folder / "stable-diffusion.h"
    header.write_text(
        "enum lora_apply_mode_t { LORA_APPLY_AUTO, LORA_APPLY_IMMEDIATELY, LORA_APPLY_AT_RUNTIME };\n"
    )
    record = {"revision": "2026-05", "patches": [], "backend": "cpu"}
    return Build(identity="x", folder=folder, library=folder, header=header, record=record)


@pytest.fixture(name="trial")
def _trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache_folder: Path) -> Callable[..., Trial]:
    """Return a function that tries an adapter with a library that makes grey pictures.

    ``got`` maps an apply mode to the level of the picture with the adapter, or to the outcome without a picture.
    ``residue`` is the level of a picture without it after others.
    """
    assert cache_folder
    monkeypatch.setattr(pictures, "modes_of", lambda _: ("immediately", "at_runtime"))

    def run(
        got: dict[str, Outcome],
        path: Path | None = None,
        without: Outcome = PLAIN,
        residue: Outcome = PLAIN,
        settings: Settings = Settings(),  # noqa: B008 - it is frozen
        **more: Any,
    ) -> Trial:
        def run_shots(
            build: Build, _backend: str, shots: Sequence[Shot], writer: Writer, seen: Any, **rest: Any
        ) -> None:
            OPTIONS.update(rest)
            for shot in shots:
                level: Outcome = WANTED if "-merged-" in shot.base.name else without
                if any(shot.sequence):
                    request = shot.request(1)
                    assert request.lora_dir == request.sequence[0][0].path.parent
                    level = got[shot.mode] if shot.sequence[-1] else residue
                if isinstance(level, str):
                    observation = Observation(build=build.identity, shot=shot.name, outcome=level, text="why")
                else:
                    digest = writer.picture(np.full((8, 8, 3), level, np.uint8))
                    observation = Observation(
                        build=build.identity,
                        shot=shot.name,
                        outcome="picture",
                        picture=digest,
                        log=("no LoRA",),
                    )
                writer.observation(observation)
                seen(observation, None)

        monkeypatch.setattr(pool, "run_shots", run_shots)
        adapter = Adapter(path=path or lora(tmp_path / "a.safetensors"))
        return try_adapter(fake_build(tmp_path), adapter, model(tmp_path), settings, **more)

    return run


def verdicts(trial: Trial) -> list[Verdict]:
    return [each.comparison.verdict for each in trial.tried]


def test_right_pictures_pass(trial: Callable[..., Trial]) -> None:
    found = trial({"immediately": WANTED, "at_runtime": WANTED - 1})
    assert found.works
    assert not OPTIONS["keeps_state"]
    assert [each.comparison.error for each in found.tried] == [0.0, pytest.approx(0.05)]
    assert (found.label, found.revision, found.patched) == ("2026-05 pristine", "2026-05", False)


def test_wrong_missing_and_crashed(trial: Callable[..., Trial]) -> None:
    found = trial({"immediately": "crashed", "at_runtime": PLAIN})
    assert verdicts(found) == [Verdict.ABORT, Verdict.NO_EFFECT]
    assert found.tried[1].comparison.evidence == "no LoRA"
    assert verdicts(trial({"immediately": 60, "at_runtime": WANTED})) == [Verdict.WRONG, Verdict.PASS]


def test_a_model_that_makes_no_picture_is_the_reason(trial: Callable[..., Trial]) -> None:
    found = trial({"immediately": "refused", "at_runtime": "refused"}, without="refused")
    assert found.base_failure == "why"
    assert not found.works


def test_without_a_merged_model_only_no_effect_is_certain(
    trial: Callable[..., Trial], tmp_path: Path
) -> None:
    path = save(tmp_path / "b.safetensors", {**pair(out=192, inner=64, key=KOHYA), "what": zeros(4)})
    found = trial({"immediately": PLAIN, "at_runtime": WANTED}, path)
    assert found.no_reference == "what is not understood"
    assert verdicts(found) == [Verdict.NO_EFFECT, Verdict.UNJUDGED]


def test_the_loss_against_a_source(trial: Callable[..., Trial], tmp_path: Path) -> None:
    source = lora(tmp_path / "float.safetensors", rank=16)
    found = trial({"immediately": WANTED, "at_runtime": WANTED - 5}, source=source)
    assert [each.comparison.loss for each in found.tried] == [0.0, pytest.approx(0.25)]


def test_a_weak_adapter_is_judged_only_if_it_changes_nothing(
    trial: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.unit.own_model.test_pictures.WANTED", PLAIN + 1)
    found = trial({"immediately": PLAIN, "at_runtime": PLAIN + 1})
    assert verdicts(found) == [Verdict.NO_EFFECT, Verdict.UNJUDGED]


def test_a_large_model_is_not_copied(trial: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_cases, "total_memory", lambda: 400_000)
    assert trial({"immediately": WANTED, "at_runtime": WANTED}).tried
    assert OPTIONS["keeps_state"]


def test_the_modes_of_a_library(tmp_path: Path) -> None:
    assert pictures.modes_of(fake_build(tmp_path)) == ("immediately", "at_runtime")


def test_a_picture_after_other_multipliers(
    trial: Callable[..., Trial], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(changes=2, modes=("immediately",))
    found = trial({"immediately": WANTED}, settings=settings, residue=PLAIN + 10)
    assert verdicts(found) == [Verdict.PASS, Verdict.WRONG]
    assert [each.title for each in found.tried] == ["immediately", "immediately, then without it"]
    assert found.tried[1].comparison.error == pytest.approx(0.5)
    # 24 pictures of one context count as so many steps.
    assert "27/27" in capsys.readouterr().err
    assert verdicts(trial({"immediately": WANTED}, settings=settings)) == [Verdict.PASS, Verdict.PASS]
