from __future__ import annotations

from collections.abc import Iterable

import pytest

from harness.adapters.kinds import KINDS
from harness.cases.case import Case, unique_shots
from harness.cases.dimensions import base_kinds, base_types, float8_files, kind_multipliers, kind_types
from harness.cases.fixture import BlockQuantiser, Fixture
from harness.cases.matrix import FULL, QUICK

pytestmark = pytest.mark.usefixtures("cache_folder")


def cases(modes: Iterable[str]) -> list[Case]:
    return [case for case in QUICK.cases("C", modes, BlockQuantiser()) if isinstance(case, Case)]


def test_a_float_file_has_a_twin_that_it_must_equal_and_a_quantised_one_has_none() -> None:
    found = {case.name: case for case in cases(["auto"])}
    twin = found["gguf-F16"].equal
    assert twin is not None
    assert twin.name.endswith("safetensors-F16@1")
    assert found["gguf-Q8_0"].equal is None
    assert found["gguf-Q8_0"].wanted is not None


@pytest.mark.timeout(120)
def test_files_that_hold_the_same_numbers_share_a_reference() -> None:
    found = {case.name: case for case in cases(["auto"])}

    def wanted(name: str) -> str:
        shot = found[name].wanted
        assert shot is not None
        return shot.name

    assert wanted("gguf-F32") == wanted("safetensors-F32")
    assert wanted("safetensors-F16") == wanted("ckpt-F16")
    assert wanted("gguf-Q8_0") != wanted("gguf-F32")
    shots = unique_shots(found.values())
    assert len({shot.name for shot in shots}) == len(shots)


def test_immediately_wants_the_rounded_sum_and_auto_depends_on_the_base() -> None:
    fixture = Fixture(base=FULL.bases["C"][0], block_quantiser=BlockQuantiser())
    found = {
        (c.dimensions["base type"], mode): c
        for mode in ("immediately", "at_runtime", "auto")
        for c in base_types(fixture, mode)
    }
    wants = {key: case.wanted is not None and case.wanted.rounded for key, case in found.items()}
    assert wants["Q8_0", "immediately"]
    assert wants["F16", "auto"]
    assert not wants["Q8_0", "at_runtime"]
    assert not wants["Q8_0", "auto"]
    assert {kind for kind, _ in found} == {
        "F32",
        "F16",
        "BF16",
        "Q8_0",
        "Q4_0",
    }  # no library makes others here
    shots = [shot for case in found.values() for shot in case.shots]
    names = {shot.name for shot in shots}
    assert len(names) == len({(s.base.name, s.mode, s.rounded, s.merged, s.sequence) for s in shots})


def test_other_kinds_than_lora_run_on_a_quantised_base_model() -> None:
    for base in FULL.bases["C"]:
        fixture = Fixture(base=base, block_quantiser=BlockQuantiser())
        rounded = {mode: list(base_kinds(fixture, mode)) for mode in ("immediately", "at_runtime")}
        for mode, found in rounded.items():
            names = {case.name for case in found}
            assert names == {f"base-Q8_0-{kind}" for kind in ("diff", "loha", "dora")}
            for case in found:
                assert case.dimensions["base type"] == "Q8_0"
                assert case.wanted is not None
                assert case.wanted.rounded == (mode == "immediately")


def test_every_kind_but_lora_has_a_case_with_another_multiplier() -> None:
    base = FULL.bases["C"][1]
    found = list(kind_multipliers(Fixture(base=base, block_quantiser=BlockQuantiser()), "at_runtime"))
    assert {case.dimensions["kind"] for case in found} == KINDS.keys() - {"lora"}
    for case in found:
        assert case.wanted is not None
        assert case.shot.sequence == (case.wanted.merged,)
        assert [use.multiplier for use in case.wanted.merged] == [0.5]


def test_a_file_of_8_bits_is_compared_with_its_own_values_and_with_the_float_file() -> None:
    for base in FULL.bases["C"]:
        found = list(float8_files(Fixture(base=base, block_quantiser=BlockQuantiser()), "at_runtime"))
        assert [case.name for case in found] == ["safetensors-F8_E4M3", "safetensors-F8_E5M2"]
        for case in found:
            assert case.wanted is not None
            assert case.source is not None
            assert case.shot.sequence == (case.wanted.merged,)
            [wanted], [source] = case.wanted.merged, case.source.merged
            assert (wanted.file.kind, source.file.kind) == (case.dimensions["type"], "F32")


def test_every_kind_but_lora_has_a_case_in_each_half_precision_type() -> None:
    fixtures = [Fixture(base=base, block_quantiser=BlockQuantiser()) for base in FULL.bases["C"]]
    found = [case for fixture in fixtures for case in kind_types(fixture, "at_runtime")]
    assert not [case for fixture in fixtures for case in kind_types(fixture, "immediately")]
    kinds = KINDS.keys() - {"lora"}
    assert len(found) == 2 * len(kinds)
    assert {(c.dimensions["kind"], c.dimensions["type"]) for c in found} == {
        (kind, half) for kind in kinds for half in ("F16", "BF16")
    }
    assert {case.name for case in found} >= {"dora-safetensors-F16", "dora-safetensors-BF16"}
