from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cases.case import plan_digest
from harness.cases.matrix import FULL
from harness.records.record import Records, Side, Writer
from harness.records.verdict import Verdict
from harness.studies.mutation import mutants
from harness.studies.mutation.mutants import Mutant
from harness.studies.mutation.outcome import WANTED, State
from harness.studies.mutation.run import MutationRun
from sdcpp.source import revision
from tests.unit.studies.mutation.mutant_records import cell, records

MUTANTS = mutants.load()


@pytest.fixture
def study(tmp_path: Path) -> MutationRun:
    return MutationRun(revision=revision.find("2026-05"), matrix=FULL, folder=tmp_path, hints=("a", "b"))


def answering(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[Mutant | None, Sequence[str]], Records | None]
) -> list[tuple[str, tuple[str, ...]]]:
    asked: list[tuple[str, tuple[str, ...]]] = []

    def fake(_study: MutationRun, mutant: Mutant | None, select: Sequence[str]) -> Records | None:
        asked.append((mutant.name if mutant else "unmutated", tuple(select)))
        return answer(mutant, select)

    monkeypatch.setattr(MutationRun, "records", fake)
    return asked


def test_the_full_matrix_runs_only_if_the_selected_cases_miss_the_mutant(
    monkeypatch: pytest.MonkeyPatch, study: MutationRun
) -> None:
    mutant = replace(MUTANTS[0], select=("a",), control=False)
    asked = answering(
        monkeypatch, lambda m, _: records(cell("a", Verdict.WRONG if m else Verdict.PASS, 0.5 if m else 0.0))
    )
    outcome = study.outcome(mutant)
    assert (outcome.state, outcome.date) == (State.CAUGHT, "2026-01-02")
    assert asked == [(mutant.name, ("a",)), ("unmutated", ("a", "b"))]
    asked.clear()
    assert study.outcome(mutant, full_matrix=True).state is State.CAUGHT
    assert asked == [(mutant.name, ()), ("unmutated", ())]
    asked = answering(monkeypatch, lambda *_: records(cell("a", Verdict.PASS, 0.0)))
    assert study.outcome(mutant).state is State.SURVIVED
    assert [select for _, select in asked] == [("a",), ("a", "b"), (), ()]
    asked.clear()
    assert study.outcome(replace(mutant, control=True)).state is State.SILENT
    assert len(asked) == 2


def test_a_mutant_without_matching_cases_is_waiting(
    monkeypatch: pytest.MonkeyPatch, study: MutationRun
) -> None:
    answering(monkeypatch, lambda *_: None)
    outcome = study.outcome(MUTANTS[0])
    assert outcome.state is State.WAITING
    assert outcome.state not in WANTED


def test_records_of_an_earlier_content_of_the_file_do_not_count(study: MutationRun) -> None:
    mutant = replace(MUTANTS[0], select=("a",), control=False)
    assert study.recorded(mutant).state is State.NOT_RUN

    def write(name: str, select: Sequence[str], verdict: Verdict, sha256: str) -> None:
        path = study.folder / name / plan_digest(select)[:8] / "records.jsonl"
        path.unlink(missing_ok=True)
        made = {"patches": [{"name": name, "sha256": sha256}]}
        with Writer(path) as writer:
            writer.run(records().run)
            writer.side(
                Side(label=name, revision="x", patched=True, backend="cpu", identity=name, build=made)
            )
            writer.cell(cell("a", verdict, 0.5))
            writer.end("2026-01-02T03:04:05+00:00")

    write("unmutated", study.hints, Verdict.PASS, "")
    write(mutant.name, mutant.select, Verdict.WRONG, "another")
    assert study.recorded(mutant).state is State.NOT_RUN
    write(mutant.name, mutant.select, Verdict.WRONG, mutant.patch.sha256)
    assert study.recorded(mutant).state is State.CAUGHT


def test_forget_removes_only_the_records_of_the_given_mutants(study: MutationRun) -> None:
    paths = [study.folder / m.name / "whole" / "records.jsonl" for m in MUTANTS[:2]]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.touch()
    study.forget(MUTANTS[:1])
    assert [path.exists() for path in paths] == [False, True]
