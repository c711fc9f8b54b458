from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import gguf
import pytest

from harness.cases.case import MODES
from harness.cases.fixture import BlockQuantiser
from harness.cases.matrix import FULL, PROPOSED, QUICK
from harness.records.verdict import Verdict
from harness.reports import change_verdict
from harness.reports.change_verdict import Outcome, of_table, read, to_json
from harness.reports.table import arrange
from sdcpp.errors import FileInvalid
from tests.unit.reports.test_pull_request import DEAD, FACTS, GOOD, IDLE, proposed


def verdict_of(
    *verdicts: tuple[Verdict, Verdict], status: int = 0, **facts: Any
) -> change_verdict.ChangeVerdict:
    records = proposed(*verdicts, facts={**FACTS, **facts})
    records.finished = "2026-11-29"
    return of_table(arrange(records), status)


def test_the_file_keeps_counts_and_changed_cases(tmp_path: Path) -> None:
    verdict = verdict_of((DEAD, GOOD), (GOOD, DEAD), (GOOD, GOOD), (IDLE, IDLE), status=5)
    assert (verdict.fixed, verdict.regressed, verdict.unjudged, verdict.unchanged) == (1, 1, 1, 1)
    assert [case.case for case in verdict.cases] == ["case-1@auto", "case-0@auto"]
    path = tmp_path / "verdict.json"
    path.write_text(to_json(verdict), encoding="ascii")
    assert read(path) == verdict


def test_equal_libraries_count_as_unchanged() -> None:
    verdict = verdict_of(same=7)
    assert (verdict.outcome, verdict.unchanged, verdict.same) == (Outcome.JUDGED, 7, 7)


def test_a_run_that_judges_nothing_is_not_judged() -> None:
    assert verdict_of((IDLE, IDLE)).outcome is Outcome.NOT_JUDGED


def test_the_names_of_all_cases_are_accepted() -> None:
    known = {kind.name: block for kind, (block, _) in gguf.GGML_QUANT_SIZES.items() if block > 1}
    quantiser = BlockQuantiser(types=known)
    name = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+@=,-]{0,159}")
    for matrix in (QUICK, PROPOSED, FULL):
        for generation in matrix.bases:
            for case in matrix.cases(generation, MODES, quantiser):
                assert name.fullmatch(f"{case.name}@{case.dimensions['mode']}"), case.name


CASE = {"kind": "fixed", "case": "a@auto", "base": "flux", "before": "ABORT", "after": "PASS"}
CONTENT = {
    "outcome": "judged",
    "status": 0,
    "fixed": 1,
    "regressed": 0,
    "unjudged": 0,
    "unchanged": 0,
    "same": 0,
    "cases": [CASE],
}


@pytest.mark.parametrize(
    "change",
    [
        {"fixed": "1"},
        {"fixed": True},
        {"fixed": -1},
        {"fixed": 1e3},
        {"outcome": "perfect"},
        {"more": 1},
        {"cases": {}},
        {"cases": [CASE] * 1001},
        {"cases": [{**CASE, "case": "[x](https://evil)"}]},
        {"cases": [{**CASE, "case": "a\n# b"}]},
        {"cases": [{**CASE, "base": "@someone"}]},
        {"cases": [{**CASE, "after": "GREAT"}]},
        {"cases": [{**CASE, "more": ""}]},
        {"cases": ["x"]},
    ],
)
def test_anything_else_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "verdict.json"
    path.write_text(json.dumps(CONTENT), encoding="ascii")
    read(path)
    path.write_text(json.dumps({**CONTENT, **change}), encoding="ascii")
    with pytest.raises(FileInvalid, match="no verdict on a change"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"[" * 100_000, b" " * 400_001, b"null"])
def test_hostile_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "verdict.json"
    path.write_bytes(content)
    with pytest.raises(FileInvalid):
        read(path)


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").write_text(json.dumps(CONTENT), encoding="ascii")
    (tmp_path / "verdict.json").symlink_to(tmp_path / "real")
    with pytest.raises(FileInvalid, match="symbolic link"):
        read(tmp_path / "verdict.json")
