from __future__ import annotations

import pytest

from harness.adapters.adapter import target_parts
from harness.adapters.adapter_file import AdapterFile
from harness.cases.case import Case
from harness.cases.combinations import combinations, combined_adapters
from harness.cases.fixture import NO_BLOCKS, Fixture
from harness.models.base_model import Base
from harness.models.tiny_models import FLUX_THIN, SD1_THIN

pytestmark = pytest.mark.usefixtures("cache_folder")


def cases(base: Base) -> dict[str, Case]:
    fixture = Fixture(base=base, block_quantiser=NO_BLOCKS)
    return {case.dimensions["combination"]: case for case in combinations(fixture, "at_runtime")}


@pytest.mark.parametrize("base", [FLUX_THIN, SD1_THIN], ids=lambda base: base.name)
def test_every_adapter_of_a_combination_has_targets_and_names_of_its_own(base: Base) -> None:
    for adapter in combined_adapters(base.name, base.architecture):
        keys = [part.key(factor) for a in (adapter, *adapter.also) for part in target_parts(a, base)
                for factor in part.kind.factors]  # fmt: skip
        assert len(set(keys)) == len(keys)
        assert all(next(target_parts(a, base), None) for a in (adapter, *adapter.also)), adapter.name


def test_a_file_has_pairs_and_biases_of_the_same_modules() -> None:
    adapter = next(a for a in combined_adapters("flux-small", "flux") if a.name == "combined-pair-and-bias")
    names = set(adapter.tensors(FLUX_THIN))
    stem = "lora_unet_double_blocks_0_img_attn_qkv"
    assert {f"{stem}.lora_down.weight", f"{stem}.lora_up.weight", f"{stem}.diff_b"} <= names


def test_the_parts_of_a_fused_layer_have_different_ranks() -> None:
    adapter = next(a for a in combined_adapters("flux-small", "flux") if a.name == "combined-ranks-alpha")
    tensors = adapter.tensors(FLUX_THIN)
    stem = "transformer.single_transformer_blocks.0.attn"
    assert len({tensors[f"{stem}.to_{n}.lora_A.weight"].shape[0] for n in "qkv"}) == 3


def test_a_file_has_alpha_in_some_modules_only() -> None:
    adapter = next(
        a for a in combined_adapters("flux-small", "flux") if a.name == "combined-ranks-some-alpha"
    )
    names = set(adapter.tensors(FLUX_THIN))
    with_alpha = {name.removesuffix(".alpha") for name in names if name.endswith(".alpha")}
    modules = {name.partition(".")[0] for name in names}
    assert with_alpha
    assert with_alpha < modules


def test_three_containers_of_one_adapter_add_up_to_it() -> None:
    case = cases(FLUX_THIN)["containers"]
    [uses] = case.shot.sequence
    files = [use.file for use in uses if isinstance(use.file, AdapterFile)]
    assert {file.container for file in files} == {"safetensors", "ckpt", "gguf"}
    assert sum(use.multiplier for use in uses) == 1.0
    assert case.dimensions["container"] == "ckpt"  # a revision that cannot read it skips the case
    assert case.wanted is not None
    assert [use.multiplier for use in case.wanted.merged] == [1.0]
