from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.cases import proposed
from harness.cases.case import MODES
from harness.cases.fixture import BlockQuantiser
from harness.cases.matrix import FULL, PROPOSED
from harness.cases.proposed import ProposedCases, case_id, chosen_first
from sdcpp.errors import FileInvalid

pytestmark = pytest.mark.usefixtures("cache_folder")


def test_the_cases_of_the_file_exist_and_run_first() -> None:
    chosen = proposed.read().cases
    known = {
        case_id(case)
        for generation in PROPOSED.bases
        for case in (
            *PROPOSED.cases(generation, MODES, BlockQuantiser()),
            *FULL.cases(generation, MODES, BlockQuantiser()),
        )
    }
    assert set(chosen) <= known
    ids = [case_id(case) for case in PROPOSED.cases("C", MODES, BlockQuantiser())]
    assert len(set(ids)) == len(ids)
    assert ids[: len(chosen)] == [name for name in chosen if name in ids]


def test_a_chosen_case_of_the_full_matrix_is_added_and_no_case_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = replace(PROPOSED, chosen_from=None).cases("C", MODES, BlockQuantiser())
    added = next(case for case in FULL.cases("C", MODES, BlockQuantiser()) if case.name == "A-then-B")
    names = (case_id(added), case_id(own[5]))
    monkeypatch.setattr(
        proposed, "read", lambda: ProposedCases(cases=names, mutants=2, noticed=2, revisions=("2026-07",))
    )
    found = [case_id(case) for case in PROPOSED.cases("C", MODES, BlockQuantiser())]
    assert found[:2] == list(names)
    assert {*found} == {case_id(case) for case in own} | {case_id(added)}


def test_other_cases_keep_their_order() -> None:
    own = replace(PROPOSED, chosen_from=None).cases("C", MODES, BlockQuantiser())
    assert chosen_first(own, [], ()) == own
    assert chosen_first(own, own, [case_id(own[3])]) == [own[3], *own[:3], *own[4:]]


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cases.json"
    path.write_text("{}")
    with pytest.raises(FileInvalid, match="--smallest"):
        proposed.read(path)
    assert (
        ProposedCases(cases=(), mutants=0, noticed=0, revisions=()).sentence == "no mutants have been tried"
    )
