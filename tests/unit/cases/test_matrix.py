from __future__ import annotations

from collections.abc import Iterable

import pytest

from harness.adapters.key_schemes import SCHEMES
from harness.cases.case import MODES, Case, unique_shots
from harness.cases.matrix import FULL, PROPOSED, QUICK, BlockQuantiser, Fixture, base_types

pytestmark = pytest.mark.usefixtures("cache_folder")


def cases(modes: Iterable[str]) -> list[Case]:
    return [case for case in QUICK.cases("C", modes, BlockQuantiser()) if isinstance(case, Case)]


def test_every_container_and_type_is_tried_in_every_mode() -> None:
    found = cases(MODES)
    names = {case.name for case in found}
    assert names == {
        "none",
        "gguf-F16-times-0",
        *(f"safetensors-{kind}" for kind in ("F32", "F16")),
        "ckpt-F16",
        *(f"gguf-{kind}" for kind in ("F32", "F16", "BF16", "Q8_0", "Q4_0")),
    }
    assert len(found) == len(names) * len(MODES)


def test_a_revision_without_a_mode_is_not_asked_for_it() -> None:
    assert {case.dimensions["mode"] for case in cases(["immediately"])} == {"immediately"}


def test_names_with_their_mode_are_unique() -> None:
    found = cases(MODES)
    assert len({(case.name, case.dimensions["mode"]) for case in found}) == len(found)


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


def test_a_proposed_change_is_tested_with_every_key_scheme() -> None:
    found = {
        generation: [
            case
            for case in PROPOSED.cases(generation, MODES, BlockQuantiser())
            if case.dimensions.get("targets") == "linear" and case.dimensions.get("scheme") != "kohya"
        ]
        for generation in PROPOSED.bases
    }
    assert {case.dimensions["scheme"] for case in found["C"]} | {"kohya"} == set(SCHEMES)
    assert {(case.dimensions["base"], case.dimensions["mode"]) for case in found["C"]} == {
        (base, mode) for base in ("flux-small", "sd1-tiny") for mode in ("immediately", "at_runtime")
    }
    # The same cases as those of the full matrix, so that records and expectations fit both.
    for generation, cases in found.items():
        full = FULL.cases(generation, MODES, BlockQuantiser())
        assert all(case in full for case in cases)
