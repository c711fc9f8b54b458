from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cli import bench as command
from harness.cli.main import main
from harness.studies import benchmark
from harness.verification.sides import RunSpec
from sdcpp.binding.build_folder import Build
from sdcpp.building import build
from sdcpp.errors import NothingTried
from sdcpp.source import workspace
from tests.unit import killable_run


@pytest.fixture
def asked(fake_build: Callable[..., Build], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return a mapping that gets what is measured, in place of builds and pictures."""
    found: dict[str, Any] = {}

    def build_sides(_revision: object, _patches: object, spec: RunSpec, _maker: object) -> list[Any]:
        found["spec"] = spec
        return [killable_run.build_under_test(fake_build("C"))]

    def measure(build: Any, _program: object, **more: Any) -> str:
        found.update(more, cases=len(build.cases))
        return "measured"

    monkeypatch.setattr(workspace, "workspace", lambda _: SimpleNamespace(lora_api="C"))
    monkeypatch.setattr(command, "open_block_quantiser", lambda *_: nullcontext())
    monkeypatch.setattr(command, "build_sides", build_sides)
    monkeypatch.setattr(build, "program", lambda _: Path("sd-cli"))
    monkeypatch.setattr(benchmark, "comparable", lambda cases: cases[:3])
    monkeypatch.setattr(benchmark, "measure", measure)
    monkeypatch.setattr(benchmark, "page", lambda measured: f"the page of what was {measured}")
    return found


def test_the_pristine_library_is_measured_on_the_smallest_base_model(
    asked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--repeat", "2"]) == 0
    spec = asked["spec"]
    assert (spec.select, spec.sides) == (command.SELECT, ("pristine",))
    assert spec.where == [("base", "flux-small")]
    assert (asked["rounds"], asked["cases"], asked["command"]) == (2, 3, "nox -s bench")
    assert capsys.readouterr().out == "the page of what was measured\n"


def test_other_cases_are_part_of_the_command_that_repeats_it(asked: dict[str, Any]) -> None:
    assert main(["bench", "--case", "gguf-*", "--case", "x"]) == 0
    assert list(asked["spec"].select) == ["gguf-*", "x"]
    assert asked["command"] == "nox -s bench -- --case 'gguf-*' --case x"


def test_no_case_that_can_be_compared_is_nothing_tried(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "comparable", lambda _: [])
    assert main(["bench"]) == NothingTried.exit_code
    assert "command" not in asked


def test_the_page_is_written_only_if_that_is_asked_for(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written: list[str] = []

    def write(measured: str) -> list[Path]:
        written.append(measured)
        return [Path("docs/page.md")]

    monkeypatch.setattr(benchmark, "write", write)
    assert main(["bench"]) == 0
    assert written == []
    assert main(["bench", "--write-docs"]) == 0
    assert written == ["measured"]
    assert "wrote docs/page.md" in capsys.readouterr().err
    assert asked
