"""Judge the cases of all sides: the verdict, status and numbers of each, from observations and pictures alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.cases import upstream_command
from harness.cases.case import Case, plan_digest
from harness.cases.malformed_file_case import MalformedFileCase
from harness.judging import expectation, oracle, stability
from harness.judging.expectation import Expectation
from harness.judging.survival import judge_malformed_file
from harness.records.change import ChangeKind, change_kind
from harness.records.record import Cell, Observation, Records
from harness.records.verdict import NOT_JUDGED, Status, Verdict
from harness.text import one_line

if TYPE_CHECKING:
    from harness.cases.build_under_test import BuildUnderTest


def judge(
    builds: Sequence[BuildUnderTest], records: Records, expected: Sequence[Expectation]
) -> Iterator[Cell]:
    """Yield a cell for every case of every side, from the observations and pictures in the records.

    A case of which the records have repeats that differ is UNSTABLE, and so is one whose verdicts on both sides may
    both occur on one build, as an expectation says. Raises FixtureInvalid if the pictures of a base model cannot be
    compared reliably.
    """
    judged: dict[tuple[str, str, str, str], Cell] = {}
    sides = {build.side.label: build for build in builds}
    for build in builds:
        observed = records.of(build.side.identity)
        repeats = records.repeats_of(build.side.identity).values()
        later = [(repeated, {**observed, **repeated}) for repeated in repeats]
        other = sides.get(build.baseline or _pristine(build, builds))
        _check_calibration(build.supported, observed, records)
        for case in build.cases:
            cell = judge_case(build, case, observed, records, expected)
            again = [
                judge_case(build, case, seen, records, expected)
                for repeated, seen in later
                if case.shot.name in repeated
            ]
            if why := stability.difference(cell, again, records.pictures):
                cell = stability.unstable(cell, why, _expectation(build, case, expected))
            key = cell.case, cell.dimensions["mode"], case.shot.base.name
            before = judged.get((other.side.label, *key)) if other else None
            if other and before and stability.suspicious(before, cell, proposed=bool(build.baseline)):
                entries = [_expectation(side, case, expected) for side in (other, build)]
                cell = stability.by_nature(before, cell, entries)
            judged[cell.side, *key] = cell
            if build.baseline and cell.verdict is not Verdict.UNSTABLE:
                cell = _relative_to(judged.get((build.baseline, *key)), cell)
            yield cell


def _pristine(build: BuildUnderTest, builds: Sequence[BuildUnderTest]) -> str:
    """Return the label of the side without patches that a side with patches is compared with, or ""."""
    side = build.side
    labels = [
        other.side.label
        for other in builds
        if not other.side.patched
        and (other.side.revision, other.side.backend) == (side.revision, side.backend)
    ]
    return labels[0] if side.patched and labels else ""


def _expectation(
    build: BuildUnderTest, case: Case | MalformedFileCase, expected: Sequence[Expectation]
) -> Expectation | None:
    """Return the first expectation that matches a case on a side, or None."""
    return expectation.first_match(
        expected,
        patches=build.patches,
        revision=build.side.revision,
        backend=build.side.backend,
        case=case.name,
        dimensions=case.dimensions,
    )


def _relative_to(before: Cell | None, cell: Cell) -> Cell:
    """Return the cell with the status that it has if it is expected to be no worse than ``before``.

    ``before`` is the same case on the baseline side, or None if the case did not run there. ``cell`` is not UNSTABLE.
    """
    if cell.verdict is Verdict.PASS:
        return replace(cell, status=Status.PASS, reason="")
    change = change_kind(before, cell)
    if before is None or change is ChangeKind.REGRESSED:
        return replace(cell, status=Status.UNEXPECTED, reason="")
    not_judged = cell.verdict in NOT_JUDGED or (change is ChangeKind.NOT_JUDGED and before is not cell)
    if not_judged or change is ChangeKind.UNSTABLE:
        if cell.status is Status.XFAIL:
            return cell
        reason = "" if before is cell else "not judged without the change either"
        if change is ChangeKind.UNSTABLE:
            reason = "unstable without the change"
        return replace(cell, status=Status.SKIPPED, reason=reason)
    if before is cell:
        reason = cell.reason or "fails without the change"
    elif before.verdict is cell.verdict:
        reason = before.reason or "fails in the same way without the change"
    else:
        reason = f"{before.verdict} without the change"
    return replace(cell, status=Status.XFAIL, reason=reason)


def judge_case(
    build: BuildUnderTest,
    case: Case | MalformedFileCase,
    observed: Mapping[str, Observation],
    records: Records,
    expected: Sequence[Expectation],
) -> Cell:
    """Return the judgement of one case. Its status follows from ``expected`` alone, whatever the baseline.

    A case that needs something that the revision lacks is UNSUPPORTED, as expected, and one that needs a file that is
    missing is UNJUDGED; ``observed`` has nothing of them.
    """
    side = build.side
    dimensions = {**case.dimensions, "backend": side.backend, "revision": side.revision}
    asked = plan_digest((shot.name, shot.base.digest) for shot in case.shots)[:12]
    entry = _expectation(build, case, expected)
    if missing := build.why_not_run(case):
        unsupported = bool(build.why_unsupported(case))
        verdict = Verdict.UNSUPPORTED if unsupported else Verdict.UNJUDGED
        status = Status.XFAIL if unsupported else expectation.status(verdict, entry)
        return Cell(
            side=side.label,
            case=case.name,
            dimensions=dimensions,
            verdict=verdict,
            status=status,
            evidence=missing,
            reason=missing if unsupported else _reason(entry, status),
            asked=asked,
            repeat=build.rerun(case),
        )
    if isinstance(case, MalformedFileCase):
        comparison = judge_malformed_file(case, observed, records.pictures)
        bound, why = None, _wanted_of_file(case)
    else:
        comparison = oracle.judge(case, observed, records.pictures)
        bound, why = _bound(case, comparison)
    failure = _base_failure(case, observed)
    # The case without an adapter keeps its verdict: it is what the library does. A fallback keeps its own, too.
    if failure and any(case.shot.sequence) and comparison.verdict is not Verdict.MISDIRECTED:
        comparison = oracle.Comparison(verdict=Verdict.UNJUDGED, evidence=failure)
    status = expectation.status(comparison.verdict, entry)
    own = observed[case.shot.name]
    return Cell(
        side=side.label,
        case=case.name,
        dimensions=dimensions,
        verdict=comparison.verdict,
        status=status,
        effect=comparison.effect,
        error=comparison.error,
        tolerance=bound,
        why=why,
        loss=comparison.loss,
        evidence=comparison.evidence,
        reason=_reason(entry, status),
        pictures=dict(comparison.pictures),
        seconds=sum(own.seconds.values()),
        memory=own.memory,
        applying=_apply_cost(case, observed),
        upstream=""
        if comparison.verdict is Verdict.PASS
        else upstream_command.command(
            case, build.build.record["generation"], build.build.record.get("program", "")
        ),
        asked=asked,
        repeat=build.rerun(case),
        # A variant of a base model, with weights of another type, does not stand for the base model.
        base_failure=failure if case.shot.base.name == case.dimensions["base"] else "",
    )


def _reason(entry: Expectation | None, status: Status) -> str:
    """Return the reason of an expectation if a status follows from it, else ""."""
    return entry.reason if entry and status in (Status.XFAIL, Status.XPASS) else ""


def _base_failure(case: Case | MalformedFileCase, observed: Mapping[str, Observation]) -> str:
    """Return why the base model of a case makes no picture without an adapter, or "" if it makes one.

    The pictures are the one that the case is compared with, and the one in the apply mode of the case if that is made.
    """
    for shot in (case.without, replace(case.shot, sequence=((),))):
        seen = observed.get(shot.name)
        if seen and seen.outcome != "picture":
            _, quote = oracle.verdict_without_picture(seen)
            opens = seen.outcome != "refused" or "open" in seen.seconds
            what = f"makes no picture without an adapter in mode {shot.mode}" if opens else "does not open"
            return f"the base model {shot.base.name} {what}: {one_line(quote, 240)}"
    return ""


def _wanted_of_file(case: MalformedFileCase) -> str:
    if "without" in case.recipe.accept | case.recipe.quietly:
        return "the file must be refused, or its malformed part ignored with a warning"
    return "the file is valid and must be applied"


def _bound(case: Case, comparison: oracle.Comparison) -> tuple[float | None, str]:
    """Return the bound on the effect error and the reason for it. Without a judged picture they are the case's own."""
    tolerance = comparison.tolerance or case.tolerance
    return (
        (tolerance.bound, tolerance.why) if tolerance else (None, "the pictures must be equal byte for byte")
    )


def _apply_cost(case: Case | MalformedFileCase, observed: Mapping[str, Observation]) -> dict[str, float]:
    """Return the time and memory of a picture with an adapter, as in ``Cell.applying``.

    It is compared with the picture without an adapter, in the same mode if that was made. The result is empty for a
    case of several generations, for one without an adapter, and if one of the two pictures is missing.
    """
    own = observed[case.shot.name]
    without = observed.get(replace(case.shot, sequence=((),)).name, observed[case.without.name])
    if (
        len(case.shot.sequence) > 1
        or not any(case.shot.sequence)
        or {own.outcome, without.outcome} != {"picture"}
    ):
        return {}
    return {
        "seconds": own.seconds["generate"],
        "processor": own.processor,
        "more": own.processor - without.processor,
        "memory": float(own.memory),
    }


def _check_calibration(
    cases: Sequence[Case | MalformedFileCase], observed: Mapping[str, Observation], records: Records
) -> None:
    """Check each base model with the pictures of the first case that has them. Raises FixtureInvalid."""
    for base in {case.shot.base for case in cases if case.shot.base.calibration.required}:
        for case in cases:
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
