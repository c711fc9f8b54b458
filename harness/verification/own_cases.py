"""Run the cases that patches fix on a source without the patches, to see which patches it still needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from harness.cases.families import with_bases
from harness.cases.fixture import BlockQuantiser
from harness.cases.matrix import FULL
from harness.records.record import Cell
from harness.records.verdict import NOT_JUDGED, Verdict
from harness.reports.table import case_id
from harness.verification.run import run_sides
from harness.verification.sides import RunSpec, build_sides
from sdcpp.patching.patch_file import Fix, Patch
from sdcpp.patching.state import PatchState, State
from sdcpp.source.revision import Revision

#: The states of patches that a source may still need.
UNDECIDED = (State.APPLIES, State.CONFLICTS, State.CODE_GONE)
#: The command that repeats such a run.
COMMAND = ("sdcpp", "patch", "state")


def needs(
    wanted: Revision, patches: Sequence[Patch], states: Sequence[PatchState], folder: Path
) -> tuple[PatchState, ...]:
    """Return the states of ``find_states``, with what the cases of each patch say on the source without patches.

    If all cases of a patch pass, its state becomes NOT_NEEDED. A state that says that the source has the change, or
    that the patch is not for the source, stays as it is. The cases are those of the newest form of a patch that names
    some. ``folder`` keeps the records. Raises what fetching and building raise.
    """
    fixes = {
        state.patch.name: _fixes(state.patch.name, patches) for state in states if state.state in UNDECIDED
    }
    cells = {
        _key(cell): cell for cell in _cells(wanted, [fix for own in fixes.values() for fix in own], folder)
    }
    return tuple(
        _with_cases(state, [cells.get((fix.base, fix.case)) for fix in fixes[state.patch.name]])
        if state.state in UNDECIDED
        else state
        for state in states
    )


def _with_cases(state: PatchState, cells: Sequence[Cell | None]) -> PatchState:
    """Return the state of a patch with what its cases say; None is a case that the source does not have."""
    judged = [cell for cell in cells if cell and cell.verdict not in NOT_JUDGED]
    if judged and all(cell.verdict is Verdict.PASS for cell in judged):
        said = "its case passes" if len(judged) == 1 else f"its {len(judged)} cases pass"
        return replace(state, state=State.NOT_NEEDED, detail=f"{said} without it")
    if judged:
        said = "; ".join(
            f"{_key(cell)[1]} {cell.verdict}" for cell in judged if cell.verdict is not Verdict.PASS
        )
        said = f"without it: {said}"
    elif cells:
        said = "none of its cases can be judged on this source"
    else:
        said = f"no case shows what it fixes: {state.patch.untested}"
    return replace(state, detail="\n".join(filter(None, (said, state.detail))))


def _fixes(name: str, patches: Sequence[Patch]) -> tuple[Fix, ...]:
    """Return the cases of the newest form of a patch that names some."""
    forms = sorted(
        (patch for patch in patches if patch.name == name), key=lambda form: form.path.name, reverse=True
    )
    return next((form.fixes for form in forms if form.fixes), ())


def _cells(wanted: Revision, fixes: Sequence[Fix], folder: Path) -> Iterator[Cell]:
    """Yield the cells of cases on a source without patches; cases that it does not have are left out."""
    if not fixes:
        return
    named = {(fix.base, fix.case) for fix in fixes}
    kept = []
    for matrix in (FULL, with_bases({fix.base for fix in fixes})):
        select = [fix.case for fix in fixes]
        spec = RunSpec(matrix=matrix, select=select, sides=("pristine",), command=COMMAND)
        (build,) = build_sides(wanted, (), spec, BlockQuantiser())
        kept += [
            case
            for case in build.cases
            if (case.dimensions["base"], f"{case.name}@{case.dimensions['mode']}") in named
        ]
    if kept:
        yield from run_sides(
            [replace(build, cases=kept)],
            folder,
            title=f"cases of the patches, {wanted.name}",
            command=" ".join(COMMAND),
            jobs=None,
        ).cells


def _key(cell: Cell) -> tuple[str, str]:
    """Return the base model and ``CASE@MODE`` of a cell."""
    return cell.dimensions["base"], case_id(cell)
