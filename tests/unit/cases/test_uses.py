from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.adapters.adapter_file import AdapterFile
from harness.adapters.use import Use
from harness.cases import uses
from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import Case, Shot, unique_shots
from harness.cases.fixture import NO_BLOCKS, Fixture
from harness.cases.matrix import FULL, PROPOSED
from harness.cases.settings import (
    FLAGS,
    USUAL_CONTEXT,
    USUAL_GENERATION,
    ContextSettings,
    GenerationSettings,
    reference_image,
)
from harness.models.base_model import Base
from harness.models.tiny_models import FLUX_THIN, SD1_THIN
from harness.records.record import Side
from sdcpp.binding.build_folder import Build
from tests.unit.fake_models import ADAPTER, BASE

pytestmark = pytest.mark.usefixtures("cache_folder")

DIMENSIONS = (
    uses.settings,
    uses.guided_steps,
    uses.circular_convolutions,
    uses.second_context,
    uses.high_noise_flag,
    uses.zero_beside_another,
    uses.changing_multipliers,
    uses.changing_mapped,
)


def cases(
    base: Base = FLUX_THIN, dimensions: Iterable[object] = DIMENSIONS, mode: str = "at_runtime"
) -> dict[str, Case]:
    fixture = Fixture(base=base, block_quantiser=NO_BLOCKS)
    return {
        case.name: case
        for dimension in DIMENSIONS
        if dimension in dimensions
        for case in dimension(fixture, mode)
    }


def multipliers(shot: Shot) -> list[list[float]]:
    return [[use.multiplier for use in generation] for generation in shot.sequence]


@pytest.mark.parametrize("base", [FLUX_THIN, SD1_THIN])
def test_the_references_are_made_under_the_same_use(base: Base) -> None:
    for name, case in cases(base, (uses.settings, uses.guided_steps)).items():
        assert case.wanted is not None
        used = case.shot.generation, case.shot.context
        assert used != (USUAL_GENERATION, USUAL_CONTEXT), name
        for reference in (case.without, case.wanted):
            assert (reference.generation, reference.context) == used
            assert reference.sequence == ((),)
        assert case.shot.sequence == (case.wanted.merged,)
        assert {group for use in case.wanted.merged for group in use.file.adapter.targets} == {
            "linear",
            "text",
        }


def test_every_flag_of_a_context_has_a_case() -> None:
    dimensions = (uses.settings, uses.circular_convolutions)
    found = [
        flag
        for base in (FLUX_THIN, SD1_THIN)
        for case in cases(base, dimensions).values()
        for flag in case.shot.context.flags
    ]
    assert set(found) == set(FLAGS)
    assert [name for name, case in cases(SD1_THIN).items() if "enable_mmap" in case.shot.context.flags] == []
    assert [name for name, _ in uses.left_out(SD1_THIN)] == ["mmap", "mmap-changing-multipliers", "reference"]
    assert not list(uses.left_out(FLUX_THIN))


def test_a_model_that_edits_gets_the_same_picture_in_every_shot() -> None:
    case = cases(FLUX_THIN, (uses.settings,))["reference"]
    pictures = {shot.request(1).ref_images for shot in case.shots}
    assert pictures == {(reference_image(FLUX_THIN.width, FLUX_THIN.height),)}
    assert "reference" not in cases(SD1_THIN, (uses.settings,))


def test_a_model_that_only_edits_gets_the_picture_without_asking_for_it() -> None:
    base = replace(FLUX_THIN, edits_only=True)
    case = next(iter(cases(base, (uses.settings,)).values()))
    assert not case.shot.generation.ref_image
    pictures = {shot.request(1).ref_images for shot in case.shots}
    assert pictures == {(reference_image(base.width, base.height),)}


def test_adapters_of_convolutions_are_tested_in_circular_pictures() -> None:
    found = cases(SD1_THIN, (uses.circular_convolutions,))
    assert list(found) == [
        "circular-x-lora-conv3x3",
        "circular-x-tucker-conv3x3",
        "circular-x-lokr-conv3x3",
        "circular-x-lokr-w2-conv3x3",
        "circular-x-lokr-tucker-conv3x3",
    ]
    for case in found.values():
        assert case.wanted is not None
        assert (
            case.shot.context
            == case.without.context
            == case.wanted.context
            == ContextSettings(circular_x=True)
        )
    assert not cases(FLUX_THIN, (uses.circular_convolutions,))


def test_guided_steps_have_several_steps_and_two_passes_with_different_prompts() -> None:
    [case] = cases(dimensions=(uses.guided_steps,)).values()
    request = case.shot.request(1)
    assert request.generation["steps"] == 3
    assert request.generation["cfg_scale"] > 1
    assert request.generation["negative_prompt"]


def test_the_second_context_is_judged_and_the_references_have_one() -> None:
    found = cases(dimensions=(uses.second_context,))
    assert [multipliers(case.shot) for case in found.values()] == [[[1.0], [1.0]], [[1.0], []]]
    for case in found.values():
        assert case.shot.context.contexts == 2
        assert all(shot.context == USUAL_CONTEXT for shot in case.shots if shot is not case.shot)


def test_a_flagged_adapter_is_not_merged_and_its_effect_is_that_of_a_plain_one() -> None:
    found = cases(dimensions=(uses.high_noise_flag,))
    alone, beside = found["high-noise-A"], found["A-and-high-noise-A"]
    assert [use.is_high_noise for use in alone.shot.sequence[0]] == [True]
    assert [use.is_high_noise for use in beside.shot.sequence[0]] == [False, True]
    assert alone.wanted == alone.without
    assert alone.scale is not None
    assert beside.wanted is not None
    assert beside.wanted.name == alone.scale.name


@pytest.mark.parametrize(
    ("base", "mode", "rounds"),
    [(FLUX_THIN, "immediately", 3), (FLUX_THIN, "at_runtime", 1), (SD1_THIN, "immediately", 1)],
)
def test_multipliers_change_from_one_to_nothing_on_each_base_type(base: Base, mode: str, rounds: int) -> None:
    found = cases(base, (uses.changing_multipliers,), mode)
    assert [case.dimensions["base type"] for case in found.values()] == ["F32", "F16", "Q8_0"]
    for case in found.values():
        assert multipliers(case.shot) == ([[tenths / 10] for tenths in range(10, -1, -1)] + [[]]) * rounds
        assert case.wanted == case.without


def test_multipliers_change_on_a_mapped_model() -> None:
    [case] = cases(FLUX_THIN, (uses.changing_mapped,)).values()
    assert all(shot.context.enable_mmap for shot in case.shots)
    assert multipliers(case.shot) == [[tenths / 10] for tenths in range(10, -1, -1)] + [[]]
    assert case.wanted == case.without
    assert not cases(SD1_THIN, (uses.changing_mapped,))


def test_the_default_set_of_a_change_has_steps_with_guidance_and_the_full_matrix_has_all() -> None:
    assert uses.guided_steps in PROPOSED.dimensions
    assert set(DIMENSIONS) <= set(FULL.dimensions)


def test_only_a_shot_with_other_settings_has_another_name() -> None:
    use = Use(file=AdapterFile(base=BASE, adapter=ADAPTER, container="gguf", kind="F16"), multiplier=0.5)
    plain = Shot(base=BASE, mode="auto", sequence=((use,), ()))
    assert plain.name == f"small/auto/{use.file.name}@0.5/none"
    named = [shot.name for case in cases().values() for shot in case.shots]
    assert len(set(named)) == len(unique_shots(cases().values()))
    flagged = replace(plain, sequence=((replace(use, is_high_noise=True),), ()))
    assert flagged.name == f"small/auto/high-noise-{use.file.name}@0.5/none"


def test_a_context_that_frees_its_weights_makes_one_picture() -> None:
    shot = Shot(base=BASE, mode="at_runtime", context=ContextSettings(free_params_immediately=True))
    assert shot.fresh
    assert not replace(shot, context=USUAL_CONTEXT).fresh


def test_a_flag_that_a_revision_lacks_makes_its_cases_unsupported(tmp_path: Path) -> None:
    side = Side(label="x", revision="x", patched=False, backend="cpu", identity="x", build={})
    made = Build(identity="x", folder=tmp_path, library=tmp_path, header=tmp_path, record={})
    lacking = BuildUnderTest(
        side=side, build=made, cases=(), repeat="", lacks={"enable_mmap": "there is no such member"}
    )
    found = {name: lacking.why_unsupported(case) for name, case in cases().items()}
    assert {name for name, reason in found.items() if reason} == {"mmap", "mmap-changing-multipliers"}
    assert found["mmap"] == "there is no such member"


def test_the_cases_of_settings_are_found_by_the_flags_and_the_batch() -> None:
    assert uses.names_of(USUAL_GENERATION, USUAL_CONTEXT) == []
    context = ContextSettings(enable_mmap=True, free_params_immediately=True)
    assert uses.names_of(GenerationSettings(batch_count=5, seed=1), context) == [
        "batch-2",
        "mmap",
        "free-params",
    ]


def test_multipliers_fade_from_that_of_the_use() -> None:
    use = Use(file=AdapterFile(base=BASE, adapter=ADAPTER, container="gguf", kind="F16"), multiplier=0.5)
    found = uses.fading(use, 2)
    assert [generation[0].multiplier for generation in found[:3]] == pytest.approx([0.5, 0.45, 0.4])
    assert (len(found), found[11], found[23]) == (24, (), ())
