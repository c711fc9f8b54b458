"""Decide from the verdicts on a mutant whether a case catches its mistake."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.records.record import Cell
from harness.records.verdict import Verdict
from harness.studies.mutation.mutants import Mutant

#: Verdicts that catch a mistake. A crash or a timeout does not: it says nothing about the picture.
CATCHING = frozenset({Verdict.WRONG, Verdict.NO_EFFECT, Verdict.REFUSED, Verdict.MISDIRECTED})


class State(StrEnum):
    """The outcome of a mutant."""

    CAUGHT = "caught"
    CRASHED = "crashed"  # cases crash or hang, and no case catches it
    SURVIVED = "survived"
    WAITING = "waiting"  # its Select: line matches no case of the matrix
    NOT_RUN = "not run"  # there are no finished records of the current content of its file
    SILENT = "silent"  # a control that no case reports
    NOISY = "noisy"  # a control that a case reports
    UNBUILT = "does not compile"  # a generated mutant that is no program
    EQUIVALENT = "equivalent"  # a generated mutant that no picture can show, with a reason


#: The states of the mutants if the harness works correctly.
WANTED = frozenset({State.CAUGHT, State.SILENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A mutant's state, and the cells whose verdict differs from that on the unmutated library, in matrix order.

    ``tried`` is the number of cells that were run.
    """

    mutant: Mutant
    state: State
    cells: tuple[Cell, ...] = ()
    tried: int = 0
    date: str = ""

    @property
    def first(self) -> Cell | None:
        """The first cell that catches the mutant, or else the first cell that differs; None if no cell differs."""
        return next((c for c in self.cells if c.verdict in CATCHING), self.cells[0] if self.cells else None)

    @property
    def strongest(self) -> Cell | None:
        """The cell that catches the mutant with the largest error in relation to its tolerance, or None."""
        return max((c for c in self.cells if c.verdict in CATCHING), key=_excess, default=None)


def _excess(cell: Cell) -> float:
    """Return the error of a cell divided by its tolerance; 1 if it has no error."""
    return cell.error / cell.tolerance if cell.error is not None and cell.tolerance else 1.0


def compare(mutant: Mutant, plain: Iterable[Cell], mutated: Sequence[Cell]) -> Outcome:
    """Return a mutant's outcome from its cells and from those of the unmutated library."""
    before = {_label(cell): cell.verdict for cell in plain}
    differing = tuple(cell for cell in mutated if cell.verdict is not before[_label(cell)])
    if mutant.control:
        state = State.NOISY if differing else State.SILENT
    else:
        state = state_of_mistake(cell.verdict for cell in differing)
    return Outcome(mutant=mutant, state=state, cells=differing, tried=len(mutated))


def state_of_mistake(differing: Iterable[Verdict]) -> State:
    """Return the state of a mistake from the verdicts that differ from those on the library without it."""
    verdicts = set(differing)
    if verdicts & CATCHING:
        return State.CAUGHT
    return State.CRASHED if verdicts else State.SURVIVED


def describe(outcome: Outcome) -> str:
    """Return one line about an outcome."""
    parts = [f"{outcome.state.upper()} after {outcome.tried} cells"]
    if outcome.first:
        parts.append(f"by {_label(outcome.first)}: {_numbers(outcome.first)}")
    if outcome.strongest and outcome.strongest is not outcome.first:
        parts.append(f"; most clearly by {_label(outcome.strongest)}: {_numbers(outcome.strongest)}")
    return " ".join(parts)


def _label(cell: Cell) -> str:
    """Return ``case@mode (base model)`` of a cell."""
    return f"{cell.case}@{cell.dimensions['mode']} ({cell.dimensions['base']})"


def _numbers(cell: Cell) -> str:
    """Return the verdict of a cell with its error and tolerance, or with the first line of its evidence."""
    if cell.error is None:
        return f"{cell.verdict}: {cell.evidence.partition(chr(10))[0]}" if cell.evidence else cell.verdict
    return f"{cell.verdict}, error {cell.error:.2g}, tolerance {cell.tolerance:g}"
