from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.cli import runs
from harness.cli.main import main
from harness.records import record
from harness.records.record import Records
from sdcpp.errors import NothingTried, UnknownRevision

pytestmark = pytest.mark.usefixtures("cache_folder")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("verify --list --revision nope", UnknownRevision.exit_code, "no such revision: nope"),
        ("verify --where foo=bar", NothingTried.exit_code, "unknown dimension: foo"),
        ("verify --case gguf-F61", NothingTried.exit_code, "did you mean gguf-F16"),
        ("repeat --case gguf-F61 --list", NothingTried.exit_code, "did you mean gguf-F16"),
        ("verify --case 'lora-r1-*' --list", NothingTried.exit_code, "add --matrix full"),
        ("verify --matrix full --case gguf-NVFP5", NothingTried.exit_code, "did you mean gguf-"),
    ],
)
def test_a_wrong_selection_is_refused_before_anything_is_built(
    words: str, status: int, said: str, capsys: pytest.CaptureFixture[str], cache_folder: Path
) -> None:
    assert main(shlex.split(words)) == status
    assert said in capsys.readouterr().err
    assert not (cache_folder / "builds").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--merge-base HEAD", "--merge-base needs --checkout"),
        ("--checkout . --merge-base HEAD --side both", "--merge-base needs --checkout"),
        ("--checkout . --revision 2026-05", "name two different sources"),
        ("--upstream --checkout .", "name different sources"),
        ("--upstream master --patch a.patch", "name different sources"),
        ("--upstream --side both", "--upstream has its own two sides"),
        ("--upstream --revision 2026-05 --revision 2025-12", "compared with one state"),
        ("--upstream pr/7 --revision 2026-05 --merge-base master", "compared with one state"),
        ("--patch a.patch --side patched", "--patch has its own two sides"),
        ("--matrix whole", "choose from 'core', 'quick', 'full'"),
    ],
)
def test_options_that_contradict_are_refused(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["verify", *words.split()])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_the_core_and_quick_cases_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--matrix", "core", "--matrix", "quick", "--case", "missing-file", "--list"]) == 0
    assert "generation C  missing-file@at_runtime" in capsys.readouterr().out
    assert main(["verify", "--where", "type=Q*", "--where", "mode=auto", "--list"]) == 0
    out = capsys.readouterr().out
    assert "generation B  gguf-Q8_0@auto" in out
    assert "gguf-F16" not in out


def test_a_reason_to_leave_cases_out_is_listed_once_for_all_base_models(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["verify", "--matrix", "families", "--case", "none@*", "--list"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "left out" in line)
    assert line.startswith("generation C  left out on minit2i, flux-guided, flux-fill and ")
    assert "in mode auto: on a float base model, mode auto means immediately" in line
    assert main(["verify", "--matrix", "families", "--where", "base=pid", "--list"]) == 0
    assert "left out on pid: " in capsys.readouterr().out


@pytest.fixture
def ran(cpu_run: Records, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, tuple[str, ...], str]]:
    """Return a list that gets the matrix, the command, the sides and the folder of each run; nothing is run."""
    found: list[tuple[str, str, tuple[str, ...], str]] = []

    def run(
        arguments: argparse.Namespace, name: str, command: Sequence[str], sides: Sequence[str], folder: Path
    ) -> tuple[Records, int]:
        found.append((name, runs.shell_command(arguments, command), tuple(sides), folder.name))
        return cpu_run, len(found) - 1

    monkeypatch.setattr(runs, "run_and_report", run)
    return found


def test_several_matrices_leave_one_compact_file(
    ran: list[tuple[str, str, tuple[str, ...], str]], tmp_path: Path
) -> None:
    words = [
        "verify",
        "--matrix",
        "quick",
        "--matrix",
        "full",
        "--backend",
        "cuda",
        "--output",
        str(tmp_path),
    ]
    assert main(words) == 1
    both = ("pristine", "patched")
    assert ran == [
        ("quick", "nox -s verify -- --matrix quick --backend cuda", both, "quick"),
        ("full", "nox -s verify -- --matrix full --backend cuda", both, "full"),
    ]
    head = json.loads((tmp_path / "records.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert head["command"] == "nox -s verify -- --matrix quick --matrix full --backend cuda"
    assert record.read(tmp_path / "records.jsonl").cells


def test_a_compact_run_of_one_matrix_has_the_same_files(
    ran: list[tuple[str, str, tuple[str, ...], str]], tmp_path: Path
) -> None:
    assert main(["verify", "--compact", "--side", "patched", "--output", str(tmp_path)]) == 0
    assert ran == [("quick", "nox -s verify -- --matrix quick --side patched", ("patched",), "quick")]
    assert (tmp_path / "records.jsonl").exists()


def test_a_matrix_without_a_selected_case_is_not_run(
    ran: list[tuple[str, str, tuple[str, ...], str]], tmp_path: Path
) -> None:
    words = ["regress", "--pristine", "--case", "lora-r1-*", "--output", str(tmp_path)]
    assert main(words) == 0
    assert [name for name, *_ in ran] == ["full"]
