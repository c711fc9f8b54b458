from __future__ import annotations

from pathlib import Path

import pytest

from harness.cases.case import MODES
from harness.cases.fixture import BlockQuantiser
from harness.cases.proposed import case_id
from harness.studies.mutation import generated, kill_matrix, targeted
from harness.studies.mutation.worker import MATRICES
from sdcpp.errors import FileInvalid


def test_each_mutant_has_the_patterns_of_its_matrix(tmp_path: Path) -> None:
    path = tmp_path / "targeted.toml"
    path.write_text(
        '[[targeted]]\ncases = ["x/a@*"]\nids = ["one", "two"]\n'
        '[[targeted]]\ncases = ["x/b@auto"]\nids = ["two"]\n'
        '[[targeted]]\nmatrix = "families"\ncases = ["y/c@*"]\nids = ["one"]\n'
    )
    assert targeted.read("full", path) == {"one": ("x/a@*",), "two": ("x/a@*", "x/b@auto")}
    assert targeted.read("families", path) == {"one": ("y/c@*",)}
    path.write_text('[[targeted]]\nids = ["one"]\n')
    with pytest.raises(FileInvalid, match="list of cases for mutants"):
        targeted.read("full", path)


def test_cases_match_in_the_order_of_the_patterns() -> None:
    cases = ["x/a@auto", "x/b@auto", "x/b@immediately"]
    assert targeted.matching(["x/b@*", "*"], cases) == ("x/b@auto", "x/b@immediately", "x/a@auto")
    assert targeted.unknown({"one": ["x/b@*", "x/c@*"]}, cases) == ["x/c@*"]


@pytest.mark.usefixtures("cache_folder")
@pytest.mark.parametrize("matrix", ["full", "families"])
def test_every_pattern_of_the_project_names_a_case(matrix: str) -> None:
    cases = [case_id(case) for case in MATRICES[matrix].cases("C", MODES, BlockQuantiser())]
    assert targeted.unknown(targeted.read(matrix), cases) == []


def test_every_mutant_of_the_project_is_in_a_kill_matrix() -> None:
    known = {one.id for found in kill_matrix.read_all(generated.reasons()) for one in found.outcomes}
    for matrix in ("full", "families"):
        assert targeted.read(matrix).keys() <= known
