from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cases.case import plan_digest
from harness.cases.matrix import FULL
from harness.records.record import Cell, Records, Run, Side, Writer
from harness.records.verdict import Status, Verdict
from harness.studies.mutation import mutants
from harness.studies.mutation.mutants import Mutant, MutationRun, Outcome, State
from sdcpp import project
from sdcpp.errors import SeriesInvalid
from sdcpp.source import revision

DOCS = project.ROOT / "docs" / "mutants.md"
MUTANTS = mutants.load()
DIFF = """\
diff --git a/src/lora.hpp b/src/lora.hpp
--- a/src/lora.hpp
+++ b/src/lora.hpp
@@ -1 +1 @@
-a
+b
"""


def written(folder: Path, name: str, head: str, diff: str = DIFF) -> Mutant:
    (folder / f"{name}.patch").write_text(f"{head}\n\n{diff}")
    return next(m for m in mutants.load(folder) if m.name == name)


def cell(case: str, verdict: Verdict, error: float | None = None, mode: str = "auto") -> Cell:
    return Cell(
        side="x",
        case=case,
        dimensions={"mode": mode, "base": "small"},
        verdict=verdict,
        status=Status.UNEXPECTED,
        error=error,
        tolerance=0.04 if error is not None else None,
    )


def records(*cells: Cell) -> Records:
    run = Run(plan="", title="", command="", machine={}, started="", project="")
    return Records(run=run, cells=list(cells), finished="2026-01-02T03:04:05+00:00")


def test_there_are_enough_and_nothing_is_wrong_with_them() -> None:
    assert not list(mutants.complaints(MUTANTS))
    assert sum(not m.control for m in MUTANTS) >= 18
    assert sum(m.control for m in MUTANTS) >= 2
    assert mutants.REVISION in revision.load()
    assert {m.patch.revisions for m in MUTANTS} == {(mutants.REVISION,)}


def test_what_a_file_says_is_read(tmp_path: Path) -> None:
    one = written(
        tmp_path, "scale-lost", "Mistake: the scale is lost\nSelect: a@auto, b*\nRevisions: 2026-05"
    )
    assert (one.mistake, one.select, one.control) == ("the scale is lost", ("a@auto", "b*"), False)
    assert one.patch.files == ("src/lora.hpp",)
    assert not list(mutants.complaints([one]))
    assert written(tmp_path, "no-change", "Control: nothing is new here").control


def test_a_file_that_does_not_say_what_it_is_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SeriesInvalid, match="silent-one"):
        written(tmp_path, "silent-one", "Select: a")


@pytest.mark.parametrize(
    ("name", "head", "diff", "complaint"),
    [
        ("Wrong", "Mistake: the scale is lost", DIFF, "name the file"),
        ("a-b", "Mistake: the scale is lost", DIFF.replace("lora.hpp", "vae.hpp"), "not on the LoRA path"),
        ("a-b", "Mistake: lost", DIFF, "must say what"),
        ("a-b", "Mistake: the scale is lost", DIFF, "no Select:"),
        ("a-b", "Mistake: the scale is lost", DIFF, "no Revisions:"),
    ],
)
def test_each_rule_is_checked(tmp_path: Path, name: str, head: str, diff: str, complaint: str) -> None:
    assert any(complaint in line for line in mutants.complaints([written(tmp_path, name, head, diff)]))


def test_two_files_with_one_mistake_are_refused(tmp_path: Path) -> None:
    pair = [written(tmp_path, name, "Mistake: the scale is lost") for name in ("one-a", "one-b")]
    assert any("the same mistake as one-a.patch" in line for line in mutants.complaints(pair))


PLAIN = [cell("a", Verdict.PASS, 0.01), cell("b", Verdict.PASS, 0.01), cell("c", Verdict.ABORT)]


@pytest.mark.parametrize(
    ("mutated", "mistake", "control"),
    [
        ([], State.SURVIVED, State.SILENT),
        ([cell("a", Verdict.WRONG, 0.5)], State.CAUGHT, State.NOISY),
        ([cell("a", Verdict.NO_EFFECT, 1.0)], State.CAUGHT, State.NOISY),
        ([cell("a", Verdict.MISDIRECTED)], State.CAUGHT, State.NOISY),
        ([cell("a", Verdict.ABORT)], State.CRASHED, State.NOISY),
        ([cell("a", Verdict.TIMEOUT)], State.CRASHED, State.NOISY),
        ([cell("a", Verdict.UNJUDGED)], State.CRASHED, State.NOISY),
        ([cell("c", Verdict.PASS, 0.01)], State.CRASHED, State.NOISY),
        ([cell("a", Verdict.ABORT), cell("b", Verdict.WRONG, 0.5)], State.CAUGHT, State.NOISY),
    ],
)
def test_only_a_verdict_on_what_was_made_counts(mutated: list[Cell], mistake: State, control: State) -> None:
    changed = {c.case: c for c in mutated}
    cells = [changed.get(c.case, c) for c in PLAIN]
    one = MUTANTS[0]
    assert mutants.compare(replace(one, control=False), PLAIN, cells).state is mistake
    assert mutants.compare(replace(one, control=True), PLAIN, cells).state is control


def test_what_was_wrong_without_the_mistake_catches_nothing() -> None:
    wrong = [cell("a", Verdict.WRONG, 0.5)]
    assert mutants.compare(replace(MUTANTS[0], control=False), wrong, wrong).state is State.SURVIVED


def test_the_first_and_the_strongest_case_are_told() -> None:
    cells = (
        cell("crash", Verdict.ABORT),
        cell("a", Verdict.WRONG, 0.1),
        cell("b", Verdict.WRONG, 0.9),
        cell("c", Verdict.MISDIRECTED),
    )
    one = Outcome(mutant=MUTANTS[0], state=State.CAUGHT, cells=cells, tried=4)
    assert one.first is cells[1]
    assert one.strongest is cells[2]
    assert "a@auto (small): WRONG, error 0.1" in mutants.describe(one)
    assert "b@auto (small): WRONG, error 0.9" in mutants.describe(one)
    crashed = Outcome(mutant=MUTANTS[0], state=State.CRASHED, cells=cells[:1], tried=4)
    assert crashed.first is cells[0]
    assert crashed.strongest is None


@pytest.fixture
def laboratory(tmp_path: Path) -> MutationRun:
    return MutationRun(revision=revision.find("2026-05"), matrix=FULL, folder=tmp_path, hints=("a", "b"))


def answering(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[Mutant | None, Sequence[str]], Records | None]
) -> list[tuple[str, tuple[str, ...]]]:
    asked: list[tuple[str, tuple[str, ...]]] = []

    def fake(_bench: MutationRun, mutant: Mutant | None, select: Sequence[str]) -> Records | None:
        asked.append((mutant.name if mutant else "unmutated", tuple(select)))
        return answer(mutant, select)

    monkeypatch.setattr(MutationRun, "records", fake)
    return asked


def test_the_named_cases_come_first_and_the_rest_only_if_they_miss_it(
    monkeypatch: pytest.MonkeyPatch, laboratory: MutationRun
) -> None:
    one = replace(MUTANTS[0], select=("a",), control=False)
    asked = answering(
        monkeypatch, lambda m, _: records(cell("a", Verdict.WRONG if m else Verdict.PASS, 0.5 if m else 0.0))
    )
    outcome = laboratory.outcome(one)
    assert (outcome.state, outcome.date) == (State.CAUGHT, "2026-01-02")
    assert asked == [(one.name, ("a",)), ("unmutated", ("a", "b"))]
    asked.clear()
    assert laboratory.outcome(one, whole=True).state is State.CAUGHT
    assert asked == [(one.name, ()), ("unmutated", ())]
    asked = answering(monkeypatch, lambda *_: records(cell("a", Verdict.PASS, 0.0)))
    assert laboratory.outcome(one).state is State.SURVIVED
    assert [select for _, select in asked] == [("a",), ("a", "b"), (), ()]
    asked.clear()
    assert laboratory.outcome(replace(one, control=True)).state is State.SILENT
    assert len(asked) == 2


def test_a_mutant_whose_cases_are_not_there_waits(
    monkeypatch: pytest.MonkeyPatch, laboratory: MutationRun
) -> None:
    answering(monkeypatch, lambda *_: None)
    outcome = laboratory.outcome(MUTANTS[0])
    assert outcome.state is State.WAITING
    assert outcome.state not in mutants.WANTED


def test_records_of_another_state_of_the_file_do_not_count(laboratory: MutationRun) -> None:
    one = replace(MUTANTS[0], select=("a",), control=False)
    assert laboratory.recorded(one).state is State.NOT_RUN

    def write(name: str, select: Sequence[str], verdict: Verdict, sha256: str) -> None:
        path = laboratory.folder / name / plan_digest(select)[:8] / "records.jsonl"
        path.unlink(missing_ok=True)
        made = {"patches": [{"name": name, "sha256": sha256}]}
        with Writer(path) as writer:
            writer.run(records().run)
            writer.side(
                Side(label=name, revision="x", patched=True, backend="cpu", identity=name, build=made)
            )
            writer.cell(cell("a", verdict, 0.5))
            writer.end("2026-01-02T03:04:05+00:00")

    write("unmutated", laboratory.hints, Verdict.PASS, "")
    write(one.name, one.select, Verdict.WRONG, "another")
    assert laboratory.recorded(one).state is State.NOT_RUN
    write(one.name, one.select, Verdict.WRONG, one.patch.sha256)
    assert laboratory.recorded(one).state is State.CAUGHT


def test_forgetting_removes_the_records_of_the_chosen_alone(laboratory: MutationRun) -> None:
    paths = [laboratory.folder / m.name / "whole" / "records.jsonl" for m in MUTANTS[:2]]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.touch()
    laboratory.forget(MUTANTS[:1])
    assert [path.exists() for path in paths] == [False, True]


def test_the_table_has_a_row_for_each_outcome() -> None:
    outcomes = [
        Outcome(
            mutant=MUTANTS[0], state=State.CAUGHT, cells=(cell("a", Verdict.WRONG, 0.5),), date="2026-01-02"
        ),
        Outcome(mutant=MUTANTS[1], state=State.SURVIVED),
        Outcome(mutant=replace(MUTANTS[2], control=True), state=State.SILENT),
    ]
    page = mutants.markdown(outcomes, "2026-05")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [m.name for m in MUTANTS[:3]]
    assert "`a@auto` small: WRONG 0.5 > 0.04" in rows[0]
    assert "| **survived** |" in rows[1]
    assert "| silent |" in rows[2]
    assert "1 of the 2 mistakes tried" in page
    assert "are caught, 1 of the 1 controls are not reported." in page


def test_the_page_in_docs_has_a_row_for_each_mutant_and_no_other() -> None:
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (.*?) \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [(m.name, m.mistake) for m in MUTANTS]
