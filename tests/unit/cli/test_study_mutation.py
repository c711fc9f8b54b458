from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cases import proposed
from harness.cases.build_under_test import BuildUnderTest
from harness.cli.main import main
from harness.cli.study.mutation import NOT_NOTICED
from harness.studies.mutation import kill_matrix, page, smallest, targeted
from harness.studies.mutation.generated import GeneratedMutant, generate
from harness.studies.mutation.kill_matrix import MutantOutcome
from harness.studies.mutation.outcome import State
from harness.studies.mutation.study import Plain, Prepared, Study
from sdcpp import project
from sdcpp.binding.build_folder import Build
from sdcpp.errors import FileInvalid, NothingTried
from tests.unit import fake_matrix
from tests.unit.studies.mutation.generated_outcomes import matrix, outcome

MUTANTS = generate({"src/lora.hpp": "struct LoraModel {\nint get_rank(int n) {\nreturn n + m - k;\n} };"})


class FakePrepared:
    """A library whose source has MUTANTS."""

    def mutants(self) -> list[GeneratedMutant]:
        return MUTANTS


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch, fake_build: Callable[..., Build]) -> list[tuple[Study, list[str]]]:
    """Let each study notice all mutants but the last, and return the studies with the ids of their mutants."""
    asked: list[tuple[Study, list[str]]] = []

    def run(
        study: Study, _: Prepared, __: Plain, mutants: Sequence[GeneratedMutant], ___: object
    ) -> list[MutantOutcome]:
        asked.append((study, [mutant.id for mutant in mutants]))
        noticed = [outcome(str(number), "x/a@auto") for number in range(len(mutants) - 1)]
        return [*noticed, outcome("last", state=State.SURVIVED)]

    def plain(_: Study, __: Prepared, ___: Callable[[BuildUnderTest], BuildUnderTest]) -> Plain:
        return Plain(plan="", seen={"x/a@auto": ("PASS", "")}, records=Path("records.jsonl"))

    monkeypatch.setattr(Study, "prepare", lambda _: FakePrepared())
    monkeypatch.setattr(Study, "plain", plain)
    monkeypatch.setattr(Study, "under_test", lambda *_: fake_matrix.side(fake_build("C"), "x", patched=True))
    monkeypatch.setattr(Study, "run", run)
    return asked


def test_what_is_not_noticed_is_printed_and_sets_the_status(
    tried: list[tuple[Study, list[str]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "study",
        "mutation",
        "--count",
        "2",
        "--builds",
        "3",
        "--jobs",
        "4",
        "--matrix",
        "quick",
        "--all",
    ]
    assert main([*words, "--output", str(tmp_path)]) == NOT_NOTICED
    [(study, ids)] = tried
    assert (study.builds, study.jobs, study.matrix, study.every) == (3, 4, "quick", True)
    assert len(ids) == 2
    out = capsys.readouterr().out
    assert "survived: lora.hpp:last:" in out
    assert "2 mutants: 1 caught, 1 survived" in out


def test_the_mutants_are_listed_or_named(
    tried: list[tuple[Study, list[str]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", "mutation", "--list"]) == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()} == {m.id for m in MUTANTS}
    main(["study", "mutation", "--mutant", MUTANTS[1].id, "--output", str(tmp_path)])
    assert tried[0][1] == [MUTANTS[1].id]
    assert main(["study", "mutation", "--mutant", "x"]) == NothingTried.exit_code


@pytest.mark.usefixtures("tried")
def test_mutants_that_no_case_reaches_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "reach.json"
    line = MUTANTS[0].line
    for cases, expected in (([0], len(MUTANTS)), ([], 0)):
        reach = {
            "revision": "2026-07",
            "cases": ["x/a@auto"],
            "lines": {"src/lora.hpp": {line: cases}},
            "bare": {},
        }
        path.write_text(json.dumps(reach))
        assert main(["study", "mutation", "--list", "--reach", str(path)]) == 0
        assert len(capsys.readouterr().out.splitlines()) == expected
    path.write_text("[]")
    assert main(["study", "mutation", "--list", "--reach", str(path)]) == FileInvalid.exit_code


@pytest.mark.usefixtures("tried")
def test_outcomes_are_recorded_and_the_smallest_set_is_chosen_from_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "checkout", lambda: tmp_path)
    path, cases = tmp_path / "kill-matrix-2026-07.json", tmp_path / "cases.json"
    monkeypatch.setattr(kill_matrix, "path_of", lambda _: path)
    monkeypatch.setattr(page, "write", lambda: ())
    output = tmp_path / "output"
    assert main(["study", "mutation", "--record", "--count", "2", "--output", str(output)]) == NOT_NOTICED
    assert kill_matrix.read(output / path.name) == kill_matrix.read(path)
    assert kill_matrix.read(path).possible == len(MUTANTS)
    known = kill_matrix.read(path)
    survivor = replace(known.outcomes[1], id=MUTANTS[0].id)
    kill_matrix.write(replace(known, outcomes=(known.outcomes[0], survivor)), path)
    words = ["study", "mutation", "--survivors", str(path), "--matrix", "quick", "--output", str(output)]
    assert main(words) == NOT_NOTICED
    assert kill_matrix.read(output / path.name).matrix == "full, then quick"
    monkeypatch.setattr(kill_matrix, "read_all", lambda _: [kill_matrix.read(path)])
    written = smallest.write
    monkeypatch.setattr(smallest, "write", lambda matrices: written(matrices, cases))
    assert main(["study", "mutation", "--smallest"]) == 0
    assert proposed.read(cases).cases == ("x/a@auto",)
    monkeypatch.setattr(kill_matrix, "read_all", lambda _: [])
    assert main(["study", "mutation", "--smallest"]) == NothingTried.exit_code


def test_survivors_are_put_to_the_cases_that_are_named_for_them(
    tried: list[tuple[Study, list[str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    survivors = [replace(outcome(str(n), state=State.SURVIVED), id=MUTANTS[n].id) for n in (0, 1)]
    known = kill_matrix.write(matrix(*survivors), tmp_path / "known.json")
    words = ["study", "mutation", "--targeted", "--matrix", "quick", "--output", str(tmp_path / "output")]
    with pytest.raises(SystemExit):
        main(words)
    words += ["--survivors", str(known)]
    monkeypatch.setattr(targeted, "read", lambda _: {})
    assert main(words) == NothingTried.exit_code
    monkeypatch.setattr(targeted, "read", lambda _: {MUTANTS[1].id: ("*",), "x": ("*",)})
    assert main(words) == NOT_NOTICED
    assert tried[0][1] == [MUTANTS[1].id]
    found = kill_matrix.read(tmp_path / "output" / "kill-matrix-2026-07.json")
    assert (found.matrix, found.targeted) == ("full", ("quick",))


def test_survivors_whose_line_has_changed_are_left_out(
    tried: list[tuple[Study, list[str]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone, there = (replace(outcome("0", state=State.SURVIVED), id=name) for name in ("gone", MUTANTS[0].id))
    words = ["study", "mutation", "--matrix", "quick", "--output", str(tmp_path / "output"), "--survivors"]
    known = kill_matrix.write(matrix(gone, there), tmp_path / "known.json")
    assert main([*words, str(known)]) == NOT_NOTICED
    assert tried[0][1] == [MUTANTS[0].id]
    assert "left out, because its line has changed or no case reaches it: gone" in capsys.readouterr().err
    known = kill_matrix.write(matrix(gone), tmp_path / "known.json")
    assert main([*words, str(known)]) == NothingTried.exit_code
