"""Outcomes of generated mutants, for tests."""

from __future__ import annotations

from harness.records.verdict import Verdict
from harness.studies.mutation.kill_matrix import KillMatrix, MutantOutcome, Notice
from harness.studies.mutation.outcome import State


def outcome(
    name: str, *killers: str, state: State = State.CAUGHT, crashes: tuple[str, ...] = ()
) -> MutantOutcome:
    notices = [Notice(case=case, verdict=Verdict.WRONG.value, error=0.5, tolerance=0.04) for case in killers]
    notices += [Notice(case=case, verdict=Verdict.ABORT.value) for case in crashes]
    return MutantOutcome(
        id=f"lora.hpp:{name}:operator:00000000:0",
        state=state,
        file="src/lora.hpp",
        function=name,
        line=3,
        source="a = b | c;",
        mistake="`+` becomes `-`",
        notices=tuple(notices),
        tried=5,
        pictures=len(killers),
        built=2.0,
        ran=3.0,
        error="",
        date="2026-01-02",
    )


def matrix(*outcomes: MutantOutcome, every: bool = True) -> KillMatrix:
    return KillMatrix(
        revision="2026-07",
        matrix="full",
        every=every,
        seed=1,
        possible=99,
        cases=5,
        machine="a processor, 2 cores",
        outcomes=outcomes,
    )
