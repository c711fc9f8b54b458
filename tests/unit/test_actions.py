"""The workflows for other repositories name commands, options, files and outputs as the project does."""

from __future__ import annotations

import re

import pytest

from harness.cli.ci import report
from harness.cli.main import parser
from sdcpp import project

GITHUB = project.ROOT / ".github"
VERIFY = (GITHUB / "actions" / "verify" / "action.yml").read_text(encoding="utf-8")
COMMENT = (GITHUB / "actions" / "comment" / "action.yml").read_text(encoding="utf-8")
DOCS = (project.ROOT / "docs" / "ci.md").read_text(encoding="utf-8")


def test_the_commands_have_options_that_sdcpp_knows() -> None:
    words = ["--checkout", ".", "--merge-base", "HEAD^1"]
    parser().parse_args(["verify", *words, "--backend", "cpu", "--output", "out", "--case=gguf-*"])
    parser().parse_args(["ci", "report", "out", *words, "--status", "5"])
    parser().parse_args(
        ["ci", "comment", "verdict.json", "--address", "https://github.com/o/n/actions/runs/1"]
    )
    assert '"$sdcpp" verify "${change[@]}" --backend "$BACKEND" --output "$OUTPUT"' in VERIFY
    assert '"$sdcpp" ci report "$OUTPUT" "${change[@]}" --status "$status"' in VERIFY
    assert 'change=(--checkout "$CHECKOUT" --merge-base "$BASE")' in VERIFY
    assert f'sdcpp" ci comment "$RUNNER_TEMP/verdict/{report.VERDICT}" --address "$ADDRESS"' in COMMENT


def test_the_artifact_travels_under_one_name() -> None:
    assert f"path: ${{{{ inputs.output }}}}/{report.VERDICT}" in VERIFY
    [written] = re.findall(r"name: (sdcpp-verdict-\S+ \S+ \S+)", VERIFY)
    [read] = re.findall(r"NAME: (sdcpp-verdict-\S+ \S+ \S+)", COMMENT)
    assert written == read


@pytest.mark.parametrize("name", ["verify-change", "comment-change"])
def test_the_page_shows_ten_lines_that_call_the_workflow(name: str) -> None:
    assert (GITHUB / "workflows" / f"{name}.yml").is_file()
    [block] = [
        text for text in re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL) if f"{name}.yml@COMMIT" in text
    ]
    lines = [line for line in block.splitlines() if not line.startswith("#")]
    assert len(lines) <= 14
    assert "permissions: {}" in lines


def test_the_job_that_runs_foreign_code_can_write_nothing() -> None:
    text = (GITHUB / "workflows" / "verify-change.yml").read_text(encoding="utf-8")
    assert ": write" not in text
    assert "secrets" not in re.sub(r"#.*", "", text)
    assert ": write" not in DOCS.partition("## A comment")[0]


def test_only_the_job_without_a_checkout_may_write() -> None:
    text = (GITHUB / "workflows" / "comment-change.yml").read_text(encoding="utf-8")
    read, _, post = text.partition("\n  post:\n")
    assert ": write" not in read
    assert re.findall(r"(\S+): write", post) == ["pull-requests"]
    assert "uses:" not in post
