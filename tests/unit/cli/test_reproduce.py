from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.adapters.adapter_file import AdapterFile
from harness.adapters.use import Use
from harness.cases.case import Case, Shot
from harness.cli import reproduce as command
from harness.cli.main import main
from sdcpp.errors import NothingTried
from sdcpp.source import workspace
from tests.unit.fake_models import ADAPTER, BASE

pytestmark = pytest.mark.usefixtures("cache_folder")

USE = Use(file=AdapterFile(base=BASE, adapter=ADAPTER, container="gguf", kind="F16"))
WITHOUT = Shot(base=BASE, mode="auto")


def case(name: str, *sequence: tuple[Use[AdapterFile], ...]) -> Case:
    shot = replace(WITHOUT, sequence=sequence)
    return Case(name=name, shot=shot, without=WITHOUT, dimensions={"base": BASE.name, "mode": "auto"})


@pytest.fixture(autouse=True)
def _two_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A matrix of a case with one picture and of one with two."""

    def cases(*_: object) -> Sequence[Case]:
        return [case("once", (USE,)), case("twice", (USE,), ())]

    monkeypatch.setattr(workspace, "workspace", lambda _: SimpleNamespace(lora_api="C"))
    monkeypatch.setattr(command, "FULL", SimpleNamespace(cases=cases))


def test_files_are_written_and_the_commands_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", "once@auto", "--output", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[::2] == ["# without", "# got"]
    assert lines[3].startswith("./sd-cli --model ")
    assert USE.file.path.name in {path.name for path in tmp_path.iterdir()}
    assert str(tmp_path / USE.file.path.name) in shown.err.replace("\n", "")


def test_what_upstreams_program_cannot_show_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", "twice@auto", "--output", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[::2] == ["# without"]
    assert "several pictures in one context" in shown.err


def test_a_case_that_there_is_not_is_nothing_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "open_block_quantiser", lambda *_: nullcontext())
    assert main(["reproduce", "thrice@auto", "--output", str(tmp_path)]) == NothingTried.exit_code
    assert "thrice@auto" in capsys.readouterr().err
    words = ["reproduce", "once@auto", "--base-model", "other", "--output", str(tmp_path)]
    assert main(words) == NothingTried.exit_code
    assert not list(tmp_path.iterdir())
