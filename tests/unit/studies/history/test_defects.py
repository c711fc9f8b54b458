from __future__ import annotations

from dataclasses import replace

from harness.cases import core
from harness.studies.history import defects
from tests.unit.studies.history.history_rows import NAMES, row


def test_every_defect_has_a_core_case_and_known_revisions() -> None:
    for defect in defects.KNOWN:
        assert defect.case in core.CORE_CASES
        assert defect.covers(NAMES.index(defect.first), NAMES)
        assert defect.last is None or defect.covers(NAMES.index(defect.last), NAMES)
        assert defect.judged(replace(row("x", case=defect.case), judgements=[])) is None
