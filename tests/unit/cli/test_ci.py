"""sdcpp ci: what a run tells GitHub, and what is believed of an artifact that foreign code may have written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli.ci import report
from harness.cli.ci.workflow_files import add_summary, set_outputs
from harness.cli.main import main
from harness.records.verdict import Verdict
from sdcpp.errors import FileInvalid, NothingTried
from tests.unit.example_records import write_run
from tests.unit.git_repositories import git
from tests.unit.reports.test_pull_request import FACTS, proposed

GOOD, DEAD = Verdict.PASS, Verdict.ABORT


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Return the files of the summary and of the outputs."""
    summary, outputs = tmp_path / "summary", tmp_path / "outputs"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_OUTPUT", str(outputs))
    return summary, outputs


def outputs_of(path: Path) -> dict[str, str]:
    """Return the outputs in a file as GitHub reads them."""
    found, lines = {}, iter(path.read_text(encoding="utf-8").splitlines())
    for line in lines:
        name, _, end = line.partition("<<")
        value = []
        while (part := next(lines)) != end:
            value.append(part)
        found[name] = "\n".join(value)
    return found


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout whose last commit changes one line of src/lora.hpp."""
    folder = tmp_path / "source"
    (folder / "src").mkdir(parents=True)
    git(folder, "init", "--quiet")
    for text in ("one\ntwo\nthree\n", "one\ntwo\n3\n"):
        (folder / "src" / "lora.hpp").write_text(text, encoding="utf-8")
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "-m", "a commit")
    return folder


def test_a_regression_is_shown_beside_the_changed_line(
    tmp_path: Path, checkout: Path, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    base = git(checkout, "rev-parse", "HEAD^1").strip()
    records = proposed((GOOD, DEAD), (DEAD, GOOD), (GOOD, GOOD), facts={**FACTS, "before": f"{base} x"})
    write_run(records, tmp_path)
    words = ["ci", "report", str(tmp_path), "--checkout", str(checkout), "--status", "5"]
    assert main(words) == 5
    said = capsys.readouterr().out
    assert "the change makes something worse: 1 fixed, 1 regressed, 1 unchanged." in said
    assert (
        "::error file=src/lora.hpp,line=3,title=1 LoRA case regressed::case-0@auto flux-small (PASS before, ABORT"
        in said
    )
    summary, outputs = files
    assert summary.read_text(encoding="utf-8") == "**The report**\n"
    assert outputs_of(outputs) == {"outcome": "judged", "fixed": "1", "regressed": "1", "unjudged": "0"}
    assert main(["ci", "comment", str(tmp_path / report.VERDICT), "--address", "https://x.y/runs/1"]) == 0
    comment = outputs_of(outputs)
    assert comment["news"] == "true"
    assert comment["comment"].startswith(comment["mark"])
    assert "| **regressed** | `case-0@auto` `flux-small` | PASS | ABORT |" in comment["comment"]


def test_nothing_to_compare_is_success(tmp_path: Path, files: tuple[Path, Path]) -> None:
    words = ["ci", "report", str(tmp_path), "--checkout", "x", "--status", str(NothingTried.exit_code)]
    with pytest.MonkeyPatch.context() as patch:

        def compare(*_: object) -> None:
            raise NothingTried("the checkout does not differ from its base", "x", "y")

        patch.setattr("sdcpp.source.checkout.compare", compare)
        assert main(words) == 0
    assert outputs_of(files[1])["outcome"] == "nothing to compare"
    assert "nothing to compare" in files[0].read_text(encoding="utf-8")


@pytest.mark.parametrize("status", [NothingTried.exit_code, 31])
def test_a_run_that_tried_nothing_is_no_success(
    status: int, tmp_path: Path, files: tuple[Path, Path]
) -> None:
    (tmp_path / "none").mkdir()
    words = ["ci", "report", str(tmp_path), "--checkout", str(tmp_path / "none"), "--status", str(status)]
    assert main(words) == status
    assert outputs_of(files[1]) == {"outcome": "failed", "fixed": "", "regressed": "", "unjudged": ""}


def test_an_address_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["ci", "comment", str(tmp_path), "--address", "https://x) [y](https://z"])


def test_a_verdict_that_is_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "verdict.json"
    file.write_text(json.dumps({"fixed": "@everyone"}), encoding="ascii")
    assert main(["ci", "comment", str(file)]) == FileInvalid.exit_code


def test_a_long_summary_is_cut(files: tuple[Path, Path]) -> None:
    add_summary("a line\n" * 200_000)
    text = files[0].read_text(encoding="utf-8")
    assert len(text) < 2**20
    assert text.endswith("The rest is in the artifact.\n")


def test_no_value_ends_its_output(files: tuple[Path, Path]) -> None:
    set_outputs({"a": "1\nEOF\nb<<EOF\n2", "b": "3"})
    assert outputs_of(files[1]) == {"a": "1\nEOF\nb<<EOF\n2", "b": "3"}


def test_unfinished_records_are_no_verdict(tmp_path: Path, checkout: Path, files: tuple[Path, Path]) -> None:
    write_run(proposed((GOOD, GOOD)), tmp_path)
    path = tmp_path / "records.jsonl"
    path.write_text(path.read_text(encoding="utf-8").rpartition('{"record":"end"')[0], encoding="utf-8")
    assert main(["ci", "report", str(tmp_path), "--checkout", str(checkout), "--status", "99"]) == 99
    assert outputs_of(files[1])["outcome"] == "not judged"
