"""Which case notices which generated mutant: what a worker reports, and the file in results/ that keeps it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.cases.proposed import cell_id
from harness.records.record import Cell
from harness.records.verdict import Verdict
from harness.studies.mutation.outcome import CATCHING, State
from sdcpp import atomic_write, project
from sdcpp.errors import FileInvalid

#: The files of the kill matrices, one for each revision.
FOLDER = project.ROOT / "results"
PATTERN = "kill-matrix-*.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A case whose verdict on a mutant differs; ``error`` and ``tolerance`` are None if there is no picture."""

    case: str
    verdict: str
    error: float | None = None
    tolerance: float | None = None

    @staticmethod
    def of(cell: Cell) -> Notice:
        """Return the notice of a cell."""
        return Notice(
            case=cell_id(cell),
            verdict=cell.verdict.value,
            error=None if cell.error is None else round(cell.error, 4),
            tolerance=None if cell.tolerance is None else round(cell.tolerance, 4),
        )

    @property
    def catches(self) -> bool:
        """Whether the case notices the mutant; a crash or a timeout does not count."""
        return Verdict(self.verdict) in CATCHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """Why no case notices some mutants, by id.

    ``equivalent`` mutants change nothing that a picture can show. The ``unnoticed`` ones could be noticed.
    """

    equivalent: Mapping[str, str] = field(default_factory=dict)
    unnoticed: Mapping[str, str] = field(default_factory=dict)


#: The states that a mutant keeps when it is put to more cases, the strongest first.
_STRONGEST = (State.CAUGHT, State.CRASHED, State.SURVIVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class MutantOutcome:
    """What came of a generated mutant.

    ``notices`` are the cases whose verdict differs. ``tried`` is the number of cases that ran, ``pictures`` the number
    of those whose picture differs from that of the library without the mistake. ``built`` and ``ran`` are seconds.
    ``error`` is the compiler's, or the reason why no case notices the mutant.
    """

    id: str
    state: State
    file: str
    function: str
    line: int
    source: str
    mistake: str
    notices: tuple[Notice, ...]
    tried: int
    pictures: int
    built: float
    ran: float
    error: str
    date: str

    @property
    def killers(self) -> tuple[str, ...]:
        """The ids of the cases that notice the mutant."""
        return tuple(notice.case for notice in self.notices if notice.catches)

    @property
    def always_crashes(self) -> bool:
        """Whether every case that was tried crashes or hangs, so that no picture can be wrong."""
        return self.state is State.CRASHED and len(self.notices) == self.tried

    def joined(self, later: MutantOutcome) -> MutantOutcome:
        """Return this outcome with that of more cases. A case that ran both times counts twice in ``tried``."""
        known = {notice.case for notice in later.notices}
        states = {self.state, later.state}
        return replace(
            later,
            state=next((state for state in _STRONGEST if state in states), later.state),
            notices=(*(notice for notice in self.notices if notice.case not in known), *later.notices),
            tried=self.tried + later.tried,
            pictures=self.pictures + later.pictures,
        )

    @staticmethod
    def from_entry(entry: Mapping[str, Any]) -> MutantOutcome:
        """Return the outcome that ``asdict`` made an entry of; raises KeyError, TypeError or ValueError."""
        notices = tuple(Notice(**notice) for notice in entry["notices"])
        return MutantOutcome(**{**entry, "state": State(entry["state"]), "notices": notices})


@dataclass(frozen=True, slots=True, kw_only=True)
class KillMatrix:
    """The outcomes of the mutants of one revision.

    ``every`` tells whether all cases ran on each mutant, or only those up to the first that noticed it. ``possible`` is
    the number of mutants that the generator can make and that a case can notice, of which ``seed`` chose. ``unreached``
    is the number of the others: no case reaches their line, or has a name that their row is about. ``select`` has the
    patterns of the cases that were chosen from the matrix; without patterns it is all of them. If ``most`` is not 0, at
    most so many cases ran on each mutant. ``targeted`` names the matrices from which mutants that were not noticed were
    put to the cases that ``targeted.toml`` names for them.
    """

    revision: str
    matrix: str
    every: bool
    seed: int
    possible: int
    cases: int
    machine: str
    outcomes: tuple[MutantOutcome, ...]
    unreached: int = 0
    select: tuple[str, ...] = ()
    most: int = 0
    targeted: tuple[str, ...] = ()

    @property
    def counted(self) -> list[MutantOutcome]:
        """The outcomes that count: of mutants that compile and are not equivalent."""
        left_out = (State.UNBUILT, State.EQUIVALENT)
        return [outcome for outcome in self.outcomes if outcome.state not in left_out]

    @property
    def survivors(self) -> list[MutantOutcome]:
        """The outcomes of mutants that no case notices, those that show a crash alone included."""
        return [outcome for outcome in self.counted if outcome.state is not State.CAUGHT]

    def continued(self, later: KillMatrix) -> KillMatrix:
        """Return this matrix with the outcomes of mutants that were put to more cases later."""
        again = {outcome.id: outcome for outcome in later.outcomes}
        outcomes = tuple(
            outcome.joined(again.pop(outcome.id)) if outcome.id in again else outcome
            for outcome in self.outcomes
        )
        names = dict.fromkeys([*self.matrix.split(", then "), *([] if later.targeted else [later.matrix])])
        return replace(
            self,
            matrix=", then ".join(names),
            targeted=tuple(dict.fromkeys([*self.targeted, *later.targeted])),
            every=self.every and later.every,
            cases=self.cases if later.targeted else max(self.cases, later.cases),
            outcomes=(*outcomes, *again.values()),
        )

    def with_reasons(self, reasons: Reasons) -> KillMatrix:
        """Return the matrix with the reasons for the mutants that no case notices."""
        return replace(self, outcomes=tuple(_explained(outcome, reasons) for outcome in self.outcomes))


def _explained(outcome: MutantOutcome, reasons: Reasons) -> MutantOutcome:
    if outcome.state in (State.SURVIVED, State.EQUIVALENT) and outcome.id in reasons.equivalent:
        return replace(outcome, state=State.EQUIVALENT, error=reasons.equivalent[outcome.id])
    if outcome.state in (State.SURVIVED, State.CRASHED):
        return replace(outcome, error=reasons.unnoticed.get(outcome.id, outcome.error))
    return outcome


def path_of(revision: str, folder: Path = FOLDER) -> Path:
    """Return the path of the kill matrix of a revision."""
    return folder / PATTERN.replace("*", revision)


def write(matrix: KillMatrix, path: Path) -> Path:
    """Write a kill matrix, one line for each mutant, and return its path. The lists of cases share one list of names.

    Raises OutputRefused.
    """
    names = sorted({notice.case for outcome in matrix.outcomes for notice in outcome.notices})
    place = {name: number for number, name in enumerate(names)}
    head = {key: value for key, value in asdict(matrix).items() if key != "outcomes"}
    rows = []
    for outcome in matrix.outcomes:
        notices = [[place[n.case], n.verdict, n.error, n.tolerance] for n in outcome.notices]
        rows.append(_line({**asdict(outcome), "notices": notices}))
    body = ",\n".join(rows)
    atomic_write.write(path, f'{{"head":{_line(head)},\n"names":{_line(names)},\n"outcomes":[\n{body}\n]}}\n')
    return path


def _line(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def read(path: Path) -> KillMatrix:
    """Return the kill matrix that ``write`` wrote; raises FileInvalid."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names: Sequence[str] = content["names"]
        outcomes = tuple(_outcome(entry, names) for entry in content["outcomes"])
        head = content["head"]
        lists = {key: tuple(head.get(key, ())) for key in ("select", "targeted")}
        return KillMatrix(**{**head, **lists}, outcomes=outcomes)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise FileInvalid(
            f"not a kill matrix ({error})", path, "write it with `sdcpp study mutation --record`"
        ) from error


def _outcome(entry: Mapping[str, Any], names: Sequence[str]) -> MutantOutcome:
    keys = ("case", "verdict", "error", "tolerance")
    notices = [dict(zip(keys, (names[notice[0]], *notice[1:]), strict=True)) for notice in entry["notices"]]
    return MutantOutcome.from_entry({**entry, "notices": notices})


def read_all(reasons: Reasons, folder: Path = FOLDER) -> list[KillMatrix]:
    """Return the kill matrices of all revisions, with the reasons for mutants; raises FileInvalid."""
    return [read(path).with_reasons(reasons) for path in sorted(folder.glob(PATTERN))]


def noticed(matrices: Iterable[KillMatrix], cases: Iterable[str]) -> int:
    """Return the number of mutants that at least one of the cases notices."""
    chosen = set(cases)
    return sum(not chosen.isdisjoint(outcome.killers) for matrix in matrices for outcome in matrix.counted)
