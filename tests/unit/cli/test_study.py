from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import main
from harness.cli.study import coverage, premerged
from harness.converter.inspect import inspect
from harness.formats.read import read_tensors
from harness.records.record import Records
from harness.studies import benchmark
from harness.studies.conversion import peers, speed
from harness.studies.conversion import premerged as study
from harness.studies.conversion.peer import CONVERTERS
from harness.studies.conversion.speed import ConverterSpeed
from harness.studies.coverage import counts, measurement, page, reasons
from harness.studies.coverage.measurement import Measurement
from harness.studies.coverage.run import CoverageRun
from sdcpp import project
from sdcpp.source.revision import Revision
from tests.unit.converter.lora_files import pair, save
from tests.unit.example_records import records_of
from tests.unit.studies.conversion.test_speed import SPEED
from tests.unit.studies.coverage.example import measurement as measured


def test_a_sample_is_for_a_base_model_or_for_none(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    words = ["study", "sample", str(path), "--rank", "4"]
    assert main([*words, "--base-model", "flux-small"]) == 0
    assert not inspect(path, "flux-small").complaints
    assert main([*words, "--modules", "3", "--width", "64", "--type", "F16"]) == 0
    kinds = {tensor.kind for tensor in read_tensors(path).tensors.values() if tensor.size > 1}
    assert (len(read_tensors(path).tensors), kinds) == (9, {"F16"})


def test_each_converter_is_measured_in_the_build_that_was_named_and_its_files_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save(tmp_path / "a.safetensors", pair())
    asked: list[tuple[Any, ...]] = []

    def measure(name: str, folder: Path, file: Path, target: Path, kind: str) -> str:
        target.touch()
        asked.append((name, folder, file, kind))
        return name

    monkeypatch.setattr(peers, "measure", measure)
    monkeypatch.setattr(peers, "cost_table", lambda _, made, *, loss: [f"{list(made)} {loss}"])
    words = ["study", "converters", str(source), "Q8_0", "--build", str(tmp_path / "build"), "--skip-loss"]
    assert main(words) == 0
    assert asked == [(name, tmp_path / "build", source, "Q8_0") for name in CONVERTERS]
    assert capsys.readouterr().out == f"build\n\n{list(CONVERTERS)} False\n"
    assert list(tmp_path.iterdir()) == [source]


def test_every_strength_is_measured_on_each_build(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        premerged, "require_build", lambda *, patched=False: Path("patched" if patched else "pristine")
    )
    monkeypatch.setattr(study, "row", lambda folder, _, kind, strength: f"{folder} {kind} {strength}")
    words = ["study", "premerged", "--type", "Q4_0", "--strength", "0.5", "--strength", "0.1"]
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[-4:] == [
        *("pristine Q4_0 0.5", "patched Q4_0 0.5"),
        *("pristine Q4_0 0.1", "patched Q4_0 0.1"),
    ]
    assert main([*words, "--build", "one"]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["one Q4_0 0.5", "one Q4_0 0.1"]


def test_coverage_is_measured_on_each_side_and_its_command_can_be_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, str, tuple[str, ...]]] = []

    def measure(study: CoverageRun, revision: Revision, side: str) -> tuple[Measurement, Records]:
        asked.append((revision.name, side, tuple(study.command)))
        return measured(f"{revision.name} {side}"), records_of()

    monkeypatch.setattr(counts, "require_gcov", lambda: Path("gcov"))
    monkeypatch.setattr(CoverageRun, "measure", measure)
    words = ["study", "coverage", "--matrix", "quick", "--case", "gguf-*", "--revision", "2026-05"]
    assert main([*words, "--side", "both"]) == 0
    command = ("sdcpp", *words[:4], "--side", "both", "--revision", "2026-05", "--case", "gguf-*")
    assert asked == [("2026-05", "pristine", command), ("2026-05", "patched", command)]
    assert "2026-05 pristine, cpu: 10 cells" in capsys.readouterr().out


def test_the_page_of_coverage_is_made_again_without_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "checkout", lambda: tmp_path)
    monkeypatch.setattr(measurement, "read", lambda: [measured()])
    monkeypatch.setattr(page, "PAGE", tmp_path / "coverage.md")
    monkeypatch.setattr(reasons, "load", list)
    assert main(["study", "coverage", "--recorded", "--write-docs"]) == 0
    assert "## 2026-05 patched" in (tmp_path / "coverage.md").read_text(encoding="utf-8")
    assert coverage.REVISIONS == ("2026-05", "2026-07")


def test_converters_are_measured_in_turns_and_the_page_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []

    def measure(folder: Path, rounds: int) -> Iterator[ConverterSpeed]:
        asked.append((folder, rounds))
        yield replace(SPEED, table=())
        yield SPEED

    monkeypatch.setattr(speed, "measure", measure)
    monkeypatch.setattr(speed, "write", asked.append)
    monkeypatch.setattr(benchmark, "write_page", lambda: tmp_path / "benchmark.md")
    words = ["study", "converters", "--write-docs", "--repeat", "2", "--build", str(tmp_path)]
    assert main(words) == 0
    assert asked == [(tmp_path, 2), replace(SPEED, table=()), SPEED]
    assert capsys.readouterr().out == "".join(f"{line}\n" for line in speed.section(SPEED))


@pytest.mark.parametrize("words", [[], ["a.safetensors"], ["a.safetensors", "Q8_0", "--write-docs"]])
def test_converters_need_a_file_and_a_type_or_make_their_own(words: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["study", "converters", *words])
