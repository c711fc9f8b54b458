"""The verdict on a change as a small file: counts, and the cases that changed.

A pull request's job writes it, and a second job, which may write comments, reads it. The first job has run the code of
the pull request, so the file may contain anything. Reading accepts only what ``to_json`` can have written: known words,
numbers, and the names of cases and base models, which have no character that Markdown, HTML or a shell treats as its
own.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness.judging.unjudged import complaints
from harness.records.change import ChangeKind
from harness.records.verdict import Verdict
from harness.reports import before_after
from harness.reports.table import ReportTable, case_id
from sdcpp import os_errors
from sdcpp.errors import FileInvalid
from sdcpp.input_file import require_file

#: The largest number of cases in a file, and of bytes that are read.
CASES, BYTES = 1000, 400_000
#: The largest count that is believed.
_MOST = 1_000_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+@=,-]{0,159}")
_SHOWN = (ChangeKind.REGRESSED, ChangeKind.FIXED, ChangeKind.CHANGED, ChangeKind.UNSTABLE)
_COUNTS = ("fixed", "regressed", "unjudged", "unchanged", "same")


class Outcome(StrEnum):
    """What became of a run."""

    JUDGED = "judged"
    NOT_JUDGED = "not judged"  # the run ended, but too little could be judged
    NOTHING = "nothing to compare"
    FAILED = "failed"  # the run ended before cases were judged, for example because the change does not build


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedCase:
    """A case whose result changed: its id ``CASE@MODE``, its base model and its verdicts before and after.

    A verdict is None if the case did not run on that side.
    """

    kind: ChangeKind
    case: str
    base: str
    before: Verdict | None
    after: Verdict | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeVerdict:
    """The verdict on a change. ``status`` is the exit status of ``sdcpp verify``; ``cases`` has at most ``CASES``.

    ``same`` of the unchanged cases did not run, because both states compile to the same objects.
    """

    outcome: Outcome
    status: int
    fixed: int = 0
    regressed: int = 0
    unjudged: int = 0
    unchanged: int = 0
    same: int = 0
    cases: tuple[ChangedCase, ...] = ()


def of_table(table: ReportTable, status: int) -> ChangeVerdict:
    """Return the verdict on the change that a run compared; ``status`` is the exit status of that run."""
    pairs = before_after.pairs(table)
    changes = [change for pair in pairs for change in before_after.changes(table, pair)]
    count = {kind: sum(change.kind is kind for change in changes) for kind in ChangeKind}
    same = sum(facts.get("same", 0) for facts in table.records.run.proposal.values())
    shown = [change for change in changes if change.kind in _SHOWN]
    shown.sort(key=lambda change: _SHOWN.index(change.kind))
    judged = bool(table.records.finished) and not complaints(table.records.cells)
    judged = judged and (same > 0 or any(change.tried for change in changes))
    return ChangeVerdict(
        outcome=Outcome.JUDGED if judged else Outcome.NOT_JUDGED,
        status=status,
        fixed=count[ChangeKind.FIXED],
        regressed=count[ChangeKind.REGRESSED],
        unjudged=count[ChangeKind.NOT_JUDGED],
        unchanged=count[ChangeKind.UNCHANGED] + same,
        same=same,
        cases=tuple(_changed_case(change) for change in shown[:CASES]),
    )


def _changed_case(change: before_after.Change) -> ChangedCase:
    cell = change.after or change.before
    assert cell is not None  # noqa: S101 - before_after.changes returns no change without a cell
    return ChangedCase(
        kind=change.kind,
        case=case_id(cell),
        base=cell.dimensions.get("base", ""),
        before=change.before.verdict if change.before else None,
        after=change.after.verdict if change.after else None,
    )


def to_json(verdict: ChangeVerdict) -> str:
    """Return the content of the file."""
    return json.dumps(asdict(verdict), indent=1) + "\n"


def read(path: Path) -> ChangeVerdict:
    """Return the verdict in a file that may be hostile.

    Raises FileInvalid for a link, for a file of more than ``BYTES`` bytes, and for anything that is not such a verdict.
    """
    try:
        if path.is_symlink():
            raise ValueError("it is a symbolic link")
        require_file(path)
        if path.stat().st_size > BYTES:
            raise ValueError(f"it has more than {BYTES} bytes")
        return _parse(json.loads(path.read_bytes().decode("ascii")))
    except OSError as error:
        raise FileInvalid(f"cannot be read ({os_errors.reason(error)})", path, "check the path") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        advice = "give a verdict.json that `sdcpp ci report` wrote"
        raise FileInvalid(f"no verdict on a change ({error})", path, advice) from error


def _parse(content: Any) -> ChangeVerdict:
    """Return the verdict in parsed JSON. Raises ValueError, KeyError, TypeError or AttributeError."""
    counts = {name: _number(content.pop(name)) for name in (*_COUNTS, "status")}
    outcome, cases = Outcome(content.pop("outcome")), content.pop("cases")
    if content or not isinstance(cases, list) or len(cases) > CASES:
        raise ValueError("unknown keys, or too many cases")
    return ChangeVerdict(outcome=outcome, cases=tuple(map(_parse_case, cases)), **counts)


def _parse_case(content: Any) -> ChangedCase:
    if set(content) != {"kind", "case", "base", "before", "after"}:
        raise ValueError("a case has other keys")
    sides = {side: content[side] and Verdict(content[side]) for side in ("before", "after")}
    base = content["base"] and _name(content["base"])
    return ChangedCase(
        kind=ChangeKind(content["kind"]), case=_name(content["case"]), base=base or "", **sides
    )


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _MOST:
        raise ValueError("a count is no whole number")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError("a name has unusual characters")
    return value
