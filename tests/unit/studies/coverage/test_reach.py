from __future__ import annotations

from pathlib import Path

import pytest

from harness.studies.coverage import reach
from harness.studies.coverage.reach import Reach
from sdcpp.errors import FileInvalid

REACH = Reach(
    revision="2026-07",
    cases=("x/a@auto", "x/b@auto"),
    lines={"lora.hpp": {10: frozenset({0}), 12: frozenset({1}), 30: frozenset()}},
    bare={"lora.hpp": frozenset({12})},
)


def test_a_line_without_code_belongs_to_the_statements_beside_it() -> None:
    assert REACH.cases_of("lora.hpp", 10) == {"x/a@auto"}
    assert REACH.cases_of("lora.hpp", 11) == {"x/a@auto", "x/b@auto"}
    assert REACH.cases_of("lora.hpp", 15) == {"x/b@auto"}


def test_no_case_reaches_a_line_that_did_not_run_or_that_is_far_from_code() -> None:
    assert not REACH.cases_of("lora.hpp", 30)
    assert not REACH.cases_of("lora.hpp", 20)
    assert not REACH.cases_of("model.cpp", 10)


def test_a_line_also_runs_without_an_adapter_if_its_statement_does() -> None:
    assert REACH.without_adapter("lora.hpp", 11)
    assert not REACH.without_adapter("lora.hpp", 10)
    assert not REACH.without_adapter("model.cpp", 10)


def test_the_lines_of_a_file_are_known_for_each_case() -> None:
    assert REACH.lines_of("lora.hpp") == {"x/a@auto": {10}, "x/b@auto": {12}}


def test_a_file_keeps_the_reach(tmp_path: Path) -> None:
    path = REACH.write(tmp_path / "reach.json")
    assert reach.read(path) == REACH
    path.write_text("[]")
    with pytest.raises(FileInvalid):
        reach.read(path)
