from __future__ import annotations

import pytest

from harness.adapters.adapter_file import AdapterFile
from harness.cases.case import MODES, Case
from harness.cases.families import FAMILIES, QUICK_WITH_FAMILIES, SEQUENCES, TEXT_ENCODERS_ONLY, with_bases
from harness.cases.fixture import BlockQuantiser
from harness.cases.matrix import QUICK
from harness.models.families.catalogue import FAMILIES as MODELS
from harness.models.families.catalogue import OF_VERSION, RELATIVES

pytestmark = pytest.mark.usefixtures("cache_folder")


def test_every_family_is_tried_with_float_and_quantised_files_in_both_modes() -> None:
    found = [case for case in FAMILIES.cases("C", MODES, BlockQuantiser()) if isinstance(case, Case)]
    for name in MODELS.keys() - TEXT_ENCODERS_ONLY - RELATIVES:
        for mode in ("immediately", "at_runtime"):
            names = {
                case.name
                for case in found
                if case.dimensions["base"] == name and case.dimensions["mode"] == mode
            }
            assert {"none", "safetensors-F32", "gguf-F16", "gguf-Q8_0", "gguf-Q4_0"} <= names
            assert {"lora-peft-safetensors-F32", "A-then-none", "A-then-half-A"} <= names
    with_diffusers = {c.dimensions["base"] for c in found if c.dimensions.get("scheme") == "diffusers"}
    assert with_diffusers == {
        "sd3",
        "flux2-klein",
        "sefi-image",
        "z-image",
        "ernie-image",
        "krea2",
        "longcat-image",
        "anima",
        "qwen-image",
        "wan",
        "hunyuan-video",
    }


def test_a_relative_of_another_model_has_a_float_and_a_quantised_file() -> None:
    found = with_bases(RELATIVES).cases("C", MODES, BlockQuantiser())
    assert (
        {case.dimensions["base"] for case in found}
        == RELATIVES
        <= {base.name for base in OF_VERSION.values()}
    )
    assert {case.name for case in found} == {"none", "safetensors-F32", "gguf-Q8_0"}
    architectures = {MODELS[name].architecture for name in MODELS.keys() - RELATIVES}
    assert {MODELS[name].architecture for name in RELATIVES} <= architectures


def test_a_model_with_other_text_encoders_has_the_cases_of_these() -> None:
    found = with_bases(TEXT_ENCODERS_ONLY).cases("C", MODES, BlockQuantiser())
    assert {case.dimensions["base"] for case in found} == TEXT_ENCODERS_ONLY
    plain = {case.name for case in found if case.dimensions.get("targets", "linear") == "linear"}
    assert plain == {"none", "safetensors-F32"}
    texts = {case.name for case in found if case.dimensions["mode"] == "at_runtime"} - plain
    assert texts == {
        f"lora-{group}-{scheme}-safetensors-F32"
        for group in ("text", "text-2", "text-t5")
        for scheme in ("kohya", "peft", "comfy", "onetrainer")
    }


def test_the_ids_of_cases_are_unique() -> None:
    found = FAMILIES.cases("C", MODES, BlockQuantiser())
    ids = [(c.name, c.dimensions["base"], c.dimensions["mode"]) for c in found]
    assert len(set(ids)) == len(ids)


def test_the_base_models_can_be_limited() -> None:
    cases = with_bases({"sd3", "flux-small"}).cases("C", MODES, BlockQuantiser())
    assert {case.dimensions["base"] for case in cases} == {"sd3"}


def test_sequences_have_the_dimensions_of_their_adapter_for_expectations() -> None:
    found = FAMILIES.cases("C", MODES, BlockQuantiser())
    sequences = [case for case in found if "sequence" in case.dimensions]
    assert {case.dimensions["sequence"] for case in sequences} == set(SEQUENCES)
    for case in sequences:
        assert case.dimensions["scheme"] == "kohya"
        assert case.dimensions["kind"] == "lora"
        assert case.dimensions["type"] == "F16"


def test_other_groups_of_targets_are_tried_in_the_schemes_that_have_names_for_them() -> None:
    found = FAMILIES.cases("C", MODES, BlockQuantiser())
    ids = {f"{c.dimensions['base']}/{c.name}@{c.dimensions['mode']}" for c in found}
    for wanted in (
        *("sdxl/lora-text-comfy", "sdxl/lora-text-2-peft", "sd3/lora-text-t5-peft"),
        *(f"sd3-all/lora-{group}-kohya" for group in ("text", "text-2", "text-t5")),
        *("flux-guided/lora-text-t5-onetrainer", "sd3/lora-outer-diffusers", "z-image/lora-outer-kohya"),
        *("ideogram4/lora-outer-bare", "hunyuan-video/lora-outer-diffusers"),
    ):
        assert f"{wanted}-safetensors-F32@at_runtime" in ids
    # OneTrainer's names of SDXL are those of kohya, and Chroma's guidance layer is not among those of Flux.
    assert "sdxl/lora-text-2-onetrainer-safetensors-F32@at_runtime" not in ids
    assert "chroma/lora-outer-diffusers-safetensors-F32@at_runtime" not in ids


def test_models_that_edit_get_a_reference_picture_in_every_shot() -> None:
    found = [c for c in FAMILIES.cases("C", MODES, BlockQuantiser()) if c.name == "reference"]
    assert {c.dimensions["base"] for c in found} == {"flux-guided", "flux2-klein", "boogu-image"}
    assert {c.dimensions["mode"] for c in found} == {"immediately", "at_runtime"}
    for case in found:
        assert case.dimensions["scheme"] == "kohya"
        assert all(shot.generation.ref_image for shot in case.shots)


def test_the_quick_matrix_has_one_file_for_each_other_kind_of_model() -> None:
    found = QUICK_WITH_FAMILIES.cases("C", MODES, BlockQuantiser())
    ids = [f"{c.dimensions['base']}/{c.name}@{c.dimensions['mode']}" for c in found]
    own = len(QUICK.cases("C", MODES, BlockQuantiser()))
    assert ids[own:] == [
        f"{base}/gguf-Q8_0@{mode}"
        for base in ("minit2i", "z-image")
        for mode in ("immediately", "at_runtime")
    ]
    # They are cases of the families, so that records and expectations fit both.
    families = with_bases({"minit2i", "z-image"}).cases("C", MODES, BlockQuantiser())
    assert all(case in families for case in found[own:])
    of_one_model = QUICK.cases("B", MODES, BlockQuantiser())
    assert QUICK_WITH_FAMILIES.cases("B", MODES, BlockQuantiser()) == of_one_model


def test_layers_outside_the_blocks_share_the_strength_of_their_adapter() -> None:
    found = FAMILIES.cases("C", MODES, BlockQuantiser())
    strengths = {
        case.dimensions["base"]: use.file.adapter.strength * len(case.shot.base.group("outer"))
        for case in found
        if case.dimensions.get("targets") == "outer"
        for use in case.shot.sequence[-1]
        if isinstance(use.file, AdapterFile)
    }
    assert {"sd3", "chroma", "z-image", "lingbot-video"} <= set(strengths)
    assert set(strengths.values()) == {4.0}
