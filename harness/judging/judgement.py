"""Judging: from observations and pictures alone, what each case came to and how that stands."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.cases import upstream_command
from harness.cases.case import Case, plan_digest
from harness.cases.malformed_file_case import MalformedFileCase
from harness.judging import expectation, oracle
from harness.judging.expectation import Expectation
from harness.judging.survival import judge_malformed_file
from harness.records.record import Cell, Observation, Records
from harness.records.verdict import Status, Verdict, worse

if TYPE_CHECKING:
    from harness.cases.build_under_test import BuildUnderTest


def judge(
    contenders: Sequence[BuildUnderTest], records: Records, expected: Sequence[Expectation]
) -> Iterator[Cell]:
    """Yield a cell for every case of every side, from the records' observations and pictures alone."""
    known: dict[tuple[str, str, str, str], Cell] = {}
    for contender in contenders:
        observed = records.of(contender.side.identity)
        _calibrate(contender.cases, observed, records)
        for case in contender.cases:
            cell = cell_of(contender, case, observed, records, expected)
            place = cell.case, cell.dimensions["mode"], case.shot.base.name
            known[cell.side, *place] = cell
            yield _against(cell, known.get((contender.baseline, *place))) if contender.baseline else cell


def _against(cell: Cell, before: Cell | None) -> Cell:
    """Return a cell that stands as what it was expected to be: no worse than ``before``."""
    if cell.status is Status.SKIPPED:
        return cell
    if cell.verdict is Verdict.PASS:
        return replace(cell, status=Status.PASS, reason="")
    if before is None or worse(before.verdict, cell.verdict):
        return replace(cell, status=Status.UNEXPECTED, reason="")
    if before is cell:
        reason = cell.reason or "as upstream has it, without the change"
    elif before.verdict is cell.verdict:
        reason = before.reason or "the same without the change"
    else:
        reason = f"{before.verdict} without the change"
    return replace(cell, status=Status.XFAIL, reason=reason)


def cell_of(
    contender: BuildUnderTest,
    case: Case | MalformedFileCase,
    observed: Mapping[str, Observation],
    records: Records,
    expected: Sequence[Expectation],
) -> Cell:
    """Return the judgement of one case, against expectations alone."""
    side, mode = contender.side, case.dimensions["mode"]
    if isinstance(case, MalformedFileCase):
        finding = judge_malformed_file(case, observed, records.pictures)
        bound, why = None, "refused, or the picture without what is broken and a warning"
    else:
        finding = oracle.judge(case, observed, records.pictures)
        bound, why = _bound(case, finding)
    stands, reason = expectation.stand(
        finding.verdict,
        expected,
        patches=contender.patches,
        revision=side.revision,
        backend=side.backend,
        case=case.name,
        dimensions=case.dimensions,
    )
    own = observed[case.shot.name]
    return Cell(
        side=side.label,
        case=case.name,
        dimensions={**case.dimensions, "backend": side.backend, "revision": side.revision},
        verdict=finding.verdict,
        status=stands,
        effect=finding.effect,
        error=finding.error,
        tolerance=bound,
        why=why,
        loss=finding.loss,
        evidence=finding.evidence,
        reason=reason,
        pictures=dict(finding.pictures),
        seconds=sum(own.seconds.values()),
        memory=own.memory,
        applying=_applying(case, observed),
        upstream=""
        if finding.verdict is Verdict.PASS
        else upstream_command.command(case, contender.build.record["generation"]),
        asked=plan_digest((shot.name, shot.base.digest) for shot in case.shots)[:12],
        repeat=f"{contender.repeat} {shlex.quote(f'{case.name}@{mode}')}",
    )


def _bound(case: Case, finding: oracle.Comparison) -> tuple[float | None, str]:
    """Return the bound on the effect error and its reason; the case's where no picture was judged."""
    tolerance = finding.tolerance or case.tolerance
    return (tolerance.bound, tolerance.why) if tolerance else (None, "must be equal to the byte")


def _applying(case: Case | MalformedFileCase, observed: Mapping[str, Observation]) -> dict[str, float]:
    """Return what a single picture with an adapter costs, beside one without in the same mode where there is one."""
    own = observed[case.shot.name]
    idle = observed.get(replace(case.shot, sequence=((),)).name, observed[case.without.name])
    if (
        len(case.shot.sequence) > 1
        or not any(case.shot.sequence)
        or {own.outcome, idle.outcome} != {"picture"}
    ):
        return {}
    return {
        "seconds": own.seconds["generate"],
        "processor": own.processor,
        "more": own.processor - idle.processor,
        "memory": float(own.memory),
    }


def _calibrate(
    found: Sequence[Case | MalformedFileCase], observed: Mapping[str, Observation], records: Records
) -> None:
    """Check each base model by the pictures of the first case that has them; raises FixtureInvalid."""
    for base in {case.shot.base for case in found}:
        for case in found:
            if (
                isinstance(case, MalformedFileCase)
                or case.shot.base is not base
                or not case.wanted
                or case.scale
            ):
                continue
            without, wanted = observed[case.without.name].picture, observed[case.wanted.name].picture
            if without and wanted:
                oracle.check_calibration(base, records.pictures[without], records.pictures[wanted])
                break
