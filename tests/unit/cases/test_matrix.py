from __future__ import annotations

from collections.abc import Iterable

import pytest

from harness.adapters.key_schemes import SCHEMES
from harness.cases.case import MODES, Case
from harness.cases.families import FAMILIES
from harness.cases.fixture import BlockQuantiser
from harness.cases.matrix import FULL, PROPOSED, QUICK, JoinedMatrices
from harness.cases.proposed import case_id

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


def test_joined_matrices_have_the_cases_of_all_of_them_once() -> None:
    joined = JoinedMatrices(matrices=[QUICK, FULL, FAMILIES])
    names = [case_id(case) for case in joined.cases("C", MODES, BlockQuantiser())]
    assert len(names) == len(set(names))
    for matrix in (QUICK, FULL, FAMILIES):
        assert {case_id(case) for case in matrix.cases("C", MODES, BlockQuantiser())} <= set(names)
    assert joined.needs_block_quantiser
    assert set(joined.bases["C"]) == {*QUICK.bases["C"], *FULL.bases["C"], *FAMILIES.bases["C"]}
    assert {*FULL.left_out("C")} <= {*joined.left_out("C")}


def test_a_proposed_change_is_tested_with_every_key_scheme() -> None:
    found = {
        generation: [
            case
            for case in PROPOSED.cases(generation, MODES, BlockQuantiser())
            if case.dimensions.get("targets") == "linear" and case.dimensions.get("scheme") != "kohya"
        ]
        for generation in PROPOSED.bases
    }
    # The matrix of the model families has the schemes of families that PROPOSED lacks.
    of_families = {"kohya", "diffusers", "kohya-diffusers", "videox-fun"}
    # Those of one part alone are schemes of FLUX_LAYERS, which has a case for each.
    of_layers = {name for name in SCHEMES if name.endswith("-alone")}
    assert {case.dimensions["scheme"] for case in found["C"]} | of_families | of_layers == set(SCHEMES)
    assert {(case.dimensions["base"], case.dimensions["mode"]) for case in found["C"]} >= {
        (base, mode) for base in ("flux-small", "sd1-tiny") for mode in ("immediately", "at_runtime")
    }
    # The same cases as those of the full matrix, so that records and expectations fit both.
    for generation, cases in found.items():
        full = FULL.cases(generation, MODES, BlockQuantiser())
        assert all(case in full for case in cases)
