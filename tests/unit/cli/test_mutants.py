from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.main import main
from harness.cli.mutants import NOT_CAUGHT
from harness.studies.mutation import mutants
from sdcpp.errors import NothingTried


def test_mutants_are_listed_without_a_build(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutants", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [mutant.name for mutant in mutants.load()]
    assert main(["mutants", "--list", "--mutant", "alpha-*"]) == 0
    assert capsys.readouterr().out.splitlines() == [line for line in lines if line.startswith("alpha-")]


def test_a_pattern_that_no_mutant_matches_is_nothing_tried(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutants", "--mutant", "x*", "--mutant", "y"]) == NothingTried.exit_code
    assert "x*, y" in capsys.readouterr().err


def test_the_page_needs_the_own_cases_of_mutants(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["mutants", "--write-docs", "--case", "gguf-*"])
    assert ended.value.code == 2
    assert "--write-docs needs the cases that the mutants name" in capsys.readouterr().err


def test_a_mutant_without_records_is_not_caught(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutants", "--recorded", "--mutant", "alpha-*", "--output", str(tmp_path)]) == NOT_CAUGHT
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == sum(mutant.name.startswith("alpha-") for mutant in mutants.load()) > 0
    assert all("NOT RUN" in line for line in lines)
    assert not list(tmp_path.iterdir())
