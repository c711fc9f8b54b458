from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase

import pytest

from harness.adapters.adapter import Adapter, target_parts
from harness.cases.case import Case
from harness.cases.fixture import NO_BLOCKS, Fixture
from harness.cases.layers import (
    BASES,
    SCHEMES,
    VECTOR_SCHEMES,
    every_layer,
    fused_text_encoder,
    single_parts,
    swapped_halves,
    text_layers,
    whole_differences,
)
from harness.models.base_model import Base, TensorId
from harness.models.tiny_models import FLUX_THIN, SD1_THIN
from tests.unit.fake_models import BASE

pytestmark = pytest.mark.usefixtures("cache_folder")

#: The tensors that no case changes: patterns of the role and the name, and the reason.
EXCEPTIONS = {
    "taesd *": "TAESD stands in for the VAE, and no trainer adapts it",
    "model *.embeddings.token_embedding.weight": "trainers write new tokens to files of their own, as embeddings",
    "model *.embeddings.position_embedding.weight": "no trainer adapts it",
    "model *.txt_in.weight": "its input is zero without a T5 encoder, so a picture cannot show its change",
}
THIN = {base.architecture: base for base in (FLUX_THIN, SD1_THIN)}
BOTH = pytest.mark.parametrize("base", BASES.values(), ids=lambda base: base.name)


def cases(base: Base) -> list[Case]:
    fixture = Fixture(base=THIN[base.architecture], block_quantiser=NO_BLOCKS)
    return list(every_layer(fixture, "at_runtime"))


def adapters(case: Case) -> Iterator[Adapter]:
    for generation in case.shot.sequence:
        for use in generation:
            yield use.file.adapter  # type: ignore[attr-defined]
            yield from use.file.adapter.also  # type: ignore[attr-defined]


def reached(base: Base, scheme: str) -> set[TensorId]:
    return {
        part.tensor
        for case in cases(base)
        for adapter in adapters(case)
        if adapter.scheme == scheme
        for part in target_parts(adapter, base)
    }


def excepted(tensor: TensorId) -> list[str]:
    return [pattern for pattern in EXCEPTIONS if fnmatchcase(" ".join(tensor), pattern)]


def is_vector(base: Base, tensor: TensorId) -> bool:
    role, name = tensor
    return len(base.files[role][name].shape) == 1


@BOTH
def test_every_tensor_of_a_base_model_is_changed_by_some_case(base: Base) -> None:
    tensors = {(role, name) for role, weights in base.files.items() for name in weights}
    changed = set().union(*(reached(base, scheme) for schemes in SCHEMES.values() for scheme in schemes))
    assert {tensor for tensor in tensors - changed if not excepted(tensor)} == set()
    assert {tensor for tensor in changed if excepted(tensor)} == set()


@BOTH
def test_every_scheme_names_every_layer_and_those_with_biases_every_vector(base: Base) -> None:
    for scheme in SCHEMES[base.architecture]:
        wanted = {
            ("model", name)
            for name in base.files["model"]
            if not excepted(("model", name))
            and (scheme in VECTOR_SCHEMES or not is_vector(base, ("model", name)))
        }
        assert wanted - reached(base, scheme) == set(), scheme
    for scheme in SCHEMES["text"]:
        wanted = {
            ("clip_l", name)
            for name in base.files["clip_l"]
            if scheme in VECTOR_SCHEMES or not is_vector(base, ("clip_l", name))
        }
        assert wanted - reached(base, scheme) == set(), scheme


def test_every_exception_is_needed() -> None:
    tensors = [(role, name) for b in BASES.values() for role, ws in b.files.items() for name in ws]
    assert {pattern for tensor in tensors for pattern in excepted(tensor)} == set(EXCEPTIONS)


@BOTH
def test_names_are_unique_and_the_base_has_all_layers(base: Base) -> None:
    found = cases(base)
    assert len({case.name for case in found}) == len(found)
    fixture = Fixture(base=THIN[base.architecture], block_quantiser=NO_BLOCKS)
    assert {case.name for case in every_layer(fixture, "immediately")} < {case.name for case in found}
    assert (
        {case.shot.base.name for case in found} == {case.dimensions["base"] for case in found} == {base.name}
    )


def test_blocks_have_numbers_of_two_digits() -> None:
    names = BASES["flux"].files["model"]
    assert any(".double_blocks.10." in name for name in names)
    assert any(".single_blocks.10." in name for name in names)


@BOTH
def test_the_text_layers_are_cases_of_every_layer(base: Base) -> None:
    fixture = Fixture(base=THIN[base.architecture], block_quantiser=NO_BLOCKS)
    found = list(text_layers(fixture, "immediately"))
    assert found
    assert all(case in list(every_layer(fixture, "immediately")) for case in found)


def test_cases_of_schemes_that_name_the_same_values_share_a_reference() -> None:
    wanted = {case.name: case.wanted for case in cases(BASES["sd1"])}
    assert wanted["layers-samplers-ldm-safetensors-F32"] == wanted["layers-samplers-kohya-safetensors-F32"]
    split = {case.name: case.wanted for case in cases(BASES["flux"])}
    assert split["layers-txt-diffusers-flux-safetensors-F32"] != split["layers-txt-kohya-safetensors-F32"]


def test_every_part_of_a_fused_layer_has_a_case_of_its_own() -> None:
    fixture = Fixture(base=FLUX_THIN, block_quantiser=NO_BLOCKS)
    found = {case.name.removesuffix("-safetensors-F32"): case for case in single_parts(fixture, "at_runtime")}
    assert set(found) == {
        f"layers-{group}-{names}-{part}-alone"
        for group in ("img", "txt", "single")
        for names in ("diffusers-flux", "lycoris")
        for part in (*"qkv", *(("mlp",) if group == "single" else ()))
    }
    assert found["layers-txt-lycoris-q-alone"].wanted == found["layers-txt-diffusers-flux-q-alone"].wanted
    [adapter] = adapters(found["layers-txt-lycoris-q-alone"])
    assert {part.rows.stem.rpartition("attn_")[2] for part in target_parts(adapter, BASES["flux"])} == {
        "add_q_proj"
    }
    assert len(list(single_parts(fixture, "immediately"))) == 10


def test_whole_differences_of_fused_layers_have_parts_of_one_size() -> None:
    fixture = Fixture(base=FLUX_THIN, block_quantiser=NO_BLOCKS)
    [case] = whole_differences(fixture, "immediately")
    [adapter] = adapters(case)
    sizes: dict[TensorId, set[tuple[int, ...]]] = {}
    for part in target_parts(adapter, BASES["flux"]):
        sizes.setdefault(part.tensor, set()).add(part.shape)
    assert all(len(shapes) == 1 for shapes in sizes.values())
    assert any(part.split for part in target_parts(adapter, BASES["flux"]))


def test_a_base_model_of_another_architecture_has_no_such_cases() -> None:
    fixture = Fixture(base=BASE, block_quantiser=NO_BLOCKS)
    dimensions = (every_layer, text_layers, single_parts, whole_differences, swapped_halves)
    assert [case for dimension in dimensions for case in dimension(fixture, "auto")] == []
    unet = Fixture(base=SD1_THIN, block_quantiser=NO_BLOCKS)
    assert [*single_parts(unet, "at_runtime"), *whole_differences(unet, "at_runtime")] == []
    assert not list(swapped_halves(unet, "at_runtime"))


def test_the_layer_with_exchanged_halves_is_changed_by_both_sorts_of_magnitudes_and_by_other_kinds() -> None:
    fixture = Fixture(base=FLUX_THIN, block_quantiser=NO_BLOCKS)
    found = list(swapped_halves(fixture, "at_runtime"))
    assert [case.dimensions["kind"] for case in found] == ["dora", "dora-in", "loha", "diff"]
    for case in found:
        [adapter] = adapters(case)
        [part] = target_parts(adapter, BASES["flux"])
        assert part.rows.swapped


def test_the_second_text_encoder_of_sdxl_is_changed_in_all_parts_of_its_fused_matrix() -> None:
    fixture = Fixture(base=SD1_THIN, block_quantiser=NO_BLOCKS)
    found = {case.name: case for case in fused_text_encoder(fixture, "at_runtime")}
    assert set(found) == {
        f"fused-text-{word}-safetensors-F32" for word in ("kohya", "peft", "biases-kohya", "and-unet-kohya")
    }
    assert {c.name for c in fused_text_encoder(fixture, "immediately")} < set(found)
    for case in found.values():
        [adapter] = adapters(case)
        base = case.shot.base
        assert (base.name, base.needs) == ("sdxl-fused", ("sizes-from-weights",))
        stems = [part.rows.stem for part in target_parts(adapter, base)]
        assert (
            sum(stem.rpartition("self_attn")[2][1:] in ("q_proj", "k_proj", "v_proj") for stem in stems) >= 3
        )
        assert case.wanted is not None
    assert not list(fused_text_encoder(replace(fixture, base=FLUX_THIN), "at_runtime"))
