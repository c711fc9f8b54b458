from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import Shot, unique_shots
from harness.cases.proposed import case_id
from harness.records.verdict import Verdict
from harness.running import pool
from harness.studies.mutation import trial, worker
from harness.studies.mutation.generated import GeneratedMutant, generate
from harness.studies.mutation.outcome import State
from harness.studies.mutation.worker import Settings, Task, Worker
from harness.verification import batches
from harness.verification.run import RECORDS, run_sides
from sdcpp.binding.build_folder import Build
from sdcpp.errors import BuildFailed
from tests.unit import fake_matrix

pytestmark = pytest.mark.usefixtures("cache_folder")

[MUTANT] = generate({"src/lora.hpp": "struct LoraModel { int get_rank(int n) { return n + m; } };"})
TASK = Task.of_whole_matrix(MUTANT)


class FakeBuilder:
    """Returns a build, or raises."""

    def __init__(self, build: Build | BuildFailed) -> None:
        self._build = build

    def build(self, _mutant: GeneratedMutant) -> Build:
        if isinstance(self._build, BuildFailed):
            raise self._build
        return self._build


@pytest.fixture
def under(fake_build: Callable[..., Build]) -> BuildUnderTest:
    return fake_matrix.side(fake_build("C"), "mutant", patched=True)


@pytest.fixture
def made(under: BuildUnderTest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Worker]:
    run_sides([under], tmp_path, title="", command="", jobs=1)

    def make(verdicts: dict[str, Verdict], build: Build | BuildFailed, *, every: bool) -> Worker:
        plain = {case_id(case): (Verdict.PASS.value, "") for case in under.cases}
        plain |= {name: (verdict.value, "") for name, verdict in verdicts.items()}
        monkeypatch.setattr(worker, "recipe_of", lambda *_: (under.build, None))
        monkeypatch.setattr(worker, "MutantBuilder", lambda *_: FakeBuilder(build))
        monkeypatch.setattr(worker, "under_test", lambda *_: under)
        return Worker(
            Settings(
                folder="x",
                own="y",
                objects="z",
                revision="2026-07",
                matrix="quick",
                order=sorted(plain, reverse=True),
                plain=plain,
                records=str(tmp_path / RECORDS),
                jobs=1,
                every=every,
            )
        )

    return make


def test_a_mutant_that_does_not_compile_is_told_apart(made: Callable[..., Worker]) -> None:
    outcome = made({}, BuildFailed("x", "lora.hpp:1: error", "y"), every=False).outcome(TASK)
    assert (outcome.state, outcome.error, outcome.tried) == (State.UNBUILT, "lora.hpp:1: error", 0)
    assert (outcome.id, outcome.mistake) == (MUTANT.id, "`+` becomes `-`")


def test_a_task_is_a_line() -> None:
    some = Task(mutant=MUTANT, cases=("x/a@auto",), bare=False)
    assert [Task.from_line(task.line()) for task in (TASK, some)] == [TASK, some]


def test_only_the_cases_of_the_task_run(made: Callable[..., Worker], under: BuildUnderTest) -> None:
    some = Task(mutant=MUTANT, cases=(case_id(under.cases[0]),))
    assert made({}, under.build, every=False).outcome(some).tried == 1


def test_pictures_that_a_mistake_cannot_change_are_not_made_again(
    made: Callable[..., Worker], under: BuildUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    run_shots = pool.run_shots

    def counting(build: Build, backend: str, shots: Sequence[Shot], *rest: Any, **options: Any) -> None:
        asked.extend(shot.name for shot in shots)
        run_shots(build, backend, shots, *rest, **options)

    monkeypatch.setattr(batches, "run_shots", counting)
    outcome = made({}, under.build, every=True).outcome(replace(TASK, bare=False))
    assert outcome.tried == len(under.cases)
    assert sorted(asked) == sorted(shot.name for shot in unique_shots(under.cases) if any(shot.sequence))


def test_a_mutant_that_changes_no_verdict_survives(
    made: Callable[..., Worker], under: BuildUnderTest
) -> None:
    outcome = made({}, under.build, every=False).outcome(TASK)
    assert (outcome.state, outcome.tried, outcome.notices) == (State.SURVIVED, len(under.cases), ())


def test_the_first_case_that_notices_a_mutant_ends_the_run_unless_every_case_is_wanted(
    made: Callable[..., Worker], under: BuildUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = trial.run_cases

    def wrong(side: BuildUnderTest, **options: object) -> object:
        enough = options.pop("enough")
        return judge(
            side,
            enough=lambda cells: enough([replace(c, verdict=Verdict.WRONG) for c in cells]),  # type: ignore[operator]
            **options,  # type: ignore[arg-type]
        )

    monkeypatch.setattr(worker, "run_cases", wrong)
    assert made({}, under.build, every=False).outcome(TASK).tried == 1
    assert made({}, under.build, every=True).outcome(TASK).tried == len(under.cases)


def test_a_difference_is_one_from_the_library_without_the_mistake(
    made: Callable[..., Worker], under: BuildUnderTest
) -> None:
    last = max(case_id(case) for case in under.cases)
    outcome = made({last: Verdict.WRONG}, under.build, every=True).outcome(TASK)
    assert [notice.case for notice in outcome.notices] == [last]
    assert outcome.state is State.CRASHED  # PASS is no verdict that catches a mistake
