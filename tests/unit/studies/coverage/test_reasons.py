from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.studies.coverage import reasons
from harness.studies.coverage.parts import files
from harness.studies.coverage.reasons import Reason, reason_for, without_line
from sdcpp.errors import FileInvalid
from tests.unit.studies.coverage.example import FILE, measurement

REASON = Reason(
    revisions=("2026-05",),
    files=(FILE,),
    functions=("LoraModel::apply",),
    lines=("return false;",),
    reason="every case has tensors",
)


def test_a_reason_belongs_to_a_revision_a_file_a_function_and_a_text() -> None:
    line, other = measurement().missed
    assert reason_for([REASON], "2026-05", line) == "every case has tensors"
    assert reason_for([REASON], "2026-05", other) == ""
    assert reason_for([REASON], "2026-07", line) == ""


def test_a_line_that_upstream_changes_loses_its_reason_and_the_reason_is_named() -> None:
    old = Reason(
        revisions=("2026-05",), files=(FILE,), lines=("return false;", "return 0;"), reason="as it was"
    )
    assert without_line([old], "2026-05", measurement().missed) == ["return 0;"]
    assert without_line([old], "2026-07", measurement().missed) == []


def test_a_reason_for_branches_belongs_to_a_line_that_runs() -> None:
    [partly] = measurement().partly
    of_line = replace(REASON, lines=(partly.text,))
    of_branches = replace(of_line, branches=True)
    assert reason_for([of_line], "2026-05", partly) == ""
    assert reason_for([of_branches], "2026-05", partly) == REASON.reason
    assert without_line([of_line], "2026-05", [partly]) == [partly.text]
    assert without_line([of_branches], "2026-05", [partly]) == []


def test_the_reasons_of_this_project_name_files_of_the_parts() -> None:
    for reason in reasons.load():
        assert set(reason.files) <= set(files())
        assert len(reason.reason.split()) > 3
        assert all(text == text.strip() for text in reason.lines)


@pytest.mark.parametrize("text", ['[[reason]]\nreason = "x"', '[[reason]]\nline = ["x"]'])
def test_an_entry_with_other_keys_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "reasons.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FileInvalid, match="entry 1"):
        reasons.load(path)
