from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from harness.cases import proposed
from harness.cases.build_under_test import BuildUnderTest
from harness.studies.mutation import study
from harness.studies.mutation.generated import GeneratedMutant, generate
from harness.studies.mutation.kill_matrix import MutantOutcome
from harness.studies.mutation.mutant_build import Recipe
from harness.studies.mutation.study import OUTCOMES, Plain, Prepared, Study, describe, ordered
from harness.studies.mutation.worker import Settings, Task
from harness.verification import run
from sdcpp.binding.build_folder import Build
from sdcpp.source import revision
from tests.unit import fake_matrix
from tests.unit.studies.mutation.generated_outcomes import outcome

pytestmark = pytest.mark.usefixtures("cache_folder")

SOURCE = "struct LoraModel { int get_rank(int n) { return n + m - k; } };"
MUTANTS = generate({"src/lora.hpp": SOURCE})


@pytest.fixture
def subject(tmp_path: Path) -> Study:
    return Study(revision=revision.find("2026-07"), matrix="quick", folder=tmp_path, builds=2, jobs=1)


@pytest.fixture
def prepared(tmp_path: Path, fake_build: Callable[..., Build]) -> Prepared:
    tree = tmp_path / "tree"
    (tree / "src").mkdir(parents=True)
    (tree / "src" / "lora.hpp").write_text(SOURCE)
    recipe = Recipe(tree=tree, cwd=tmp_path, units={}, link=(), includers=frozenset())
    return Prepared(folder=tmp_path / "cache", recipe=recipe, build=fake_build("C"))


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the workers return an outcome for each mutant, and return the ids that they were given."""
    given: list[str] = []

    def work(
        _settings: Settings,
        _folder: Path,
        waiting: deque[Task],
        _count: int,
        add: Callable[[MutantOutcome], None],
    ) -> None:
        while waiting:
            task = waiting.popleft()
            given.append(" ".join([task.mutant.id, *(task.cases or ())]))
            add(MutantOutcome.from_entry({**_entry(outcome("x", "a/b@auto")), "id": task.mutant.id}))

    monkeypatch.setattr(study, "_work", work)
    return given


def _entry(one: MutantOutcome) -> dict[str, object]:
    content: dict[str, object] = json.loads(json.dumps(asdict(one)))
    return content


PLAIN_CASES = Plain(plan="one", seen={"a/b@auto": ("PASS", "")}, records=Path("records.jsonl"))


def test_mutants_that_were_tried_are_not_tried_again(
    subject: Study, prepared: Prepared, tried: list[str]
) -> None:
    assert [one.id for one in subject.run(prepared, PLAIN_CASES, MUTANTS[:1], Task.of_whole_matrix)] == [
        MUTANTS[0].id
    ]
    path = subject.folder / OUTCOMES
    with path.open("a") as file:
        file.write('{"id": "torn')  # a run that was killed
    assert [one.id for one in subject.run(prepared, PLAIN_CASES, MUTANTS, Task.of_whole_matrix)] == [
        m.id for m in MUTANTS
    ]
    assert tried == [mutant.id for mutant in MUTANTS]
    assert len(path.read_text().splitlines()) == 1 + len(MUTANTS)


def test_another_plan_begins_anew(subject: Study, prepared: Prepared, tried: list[str]) -> None:
    subject.run(prepared, PLAIN_CASES, MUTANTS, Task.of_whole_matrix)
    subject.run(prepared, replace(PLAIN_CASES, plan="two"), MUTANTS, Task.of_whole_matrix)
    assert len(tried) == 2 * len(MUTANTS)


def test_a_mutant_is_put_to_the_cases_that_can_notice_it(
    subject: Study, prepared: Prepared, tried: list[str]
) -> None:
    def task(mutant: GeneratedMutant) -> Task:
        return Task(mutant=mutant, cases=("a/b@auto",) if mutant == MUTANTS[0] else ())

    subject.run(prepared, PLAIN_CASES, MUTANTS[:2], task)
    assert tried == [f"{MUTANTS[0].id} a/b@auto", MUTANTS[1].id]


def test_the_mutants_are_those_of_the_prepared_sources(prepared: Prepared) -> None:
    assert prepared.mutants() == MUTANTS


def test_the_library_without_a_mistake_runs_once_for_each_plan(
    subject: Study, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "under_test", lambda build, *_: fake_matrix.side(build, "x", patched=True))
    selected: list[int] = []

    def cases(under: BuildUnderTest) -> BuildUnderTest:
        selected.append(len(under.cases))
        return under

    found = subject.plain(prepared, cases)
    assert len(found.seen) == 2 * fake_matrix.CELLS
    assert {verdict for verdict, _ in found.seen.values()} == {"PASS"}
    monkeypatch.setattr(run, "Observer", None)
    assert subject.plain(prepared, cases) == found
    assert found.records.exists()


def test_cases_that_are_known_to_notice_mutants_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = proposed.ProposedCases(cases=("c", "a"), mutants=2, noticed=2, revisions=())
    monkeypatch.setattr(proposed, "read", lambda: chosen)
    assert ordered(dict.fromkeys("abc")) == ["c", "a", "b"]


def test_an_outcome_is_a_line() -> None:
    assert describe(outcome("one", "x/a@auto")) == (
        "lora.hpp:one:operator:00000000:0: caught by x/a@auto after 5 cases, 2 + 3 s"
    )
