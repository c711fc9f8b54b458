from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.adapters.adapter_file import AdapterFile
from harness.adapters.use import Use
from harness.cases.case import MODES, Shot, select
from harness.cases.fixture import BlockQuantiser
from harness.cases.malformed_file_case import MalformedFileCase
from harness.cases.matrix import FULL
from harness.studies import benchmark
from harness.studies.benchmark import BenchRound, Measurement
from harness.studies.conversion import speed
from tests.unit.fake_models import ADAPTER, BASE
from tests.unit.studies.conversion.test_speed import SPEED

pytestmark = pytest.mark.usefixtures("cache_folder")


def test_the_command_of_the_program_requests_the_same_picture() -> None:
    file = AdapterFile(base=BASE, adapter=ADAPTER, container="gguf", kind="F16")
    shot = Shot(
        base=replace(BASE, clip_skip=3), mode="at_runtime", sequence=((Use(file=file, multiplier=0.5),),)
    )
    command = benchmark.program_command(Path("sd-cli"), shot, Path("out.png"))
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--prompt"] == f"{BASE.prompt}<lora:{file.path.stem}:0.5>"
    assert options["--lora-model-dir"] == str(file.folder)
    assert options["--lora-apply-mode"] == "at_runtime"
    assert options["--clip-skip"] == "3"
    assert options["--seed"] == "42"
    assert Path(options["--model"]).is_file()


def test_only_cases_that_the_program_can_run_are_compared() -> None:
    cases = list(benchmark.comparable(FULL.cases("C", MODES, BlockQuantiser())))
    names = {case.name for case in cases}
    assert {"none", "gguf-F16", "lora-r16-safetensors-F32"} <= names
    assert not {"A-and-B", "A-then-B"} & names
    assert not any(isinstance(case, MalformedFileCase) for case in cases)
    assert select(cases, ["lora-r16-*"])


def measured(rounds: Sequence[tuple[float, float]]) -> Measurement:
    return Measurement(
        command="nox -s bench",
        revision="2026-05",
        processor="A processor",
        cores=2,
        date="2026-01-02",
        cases=20,
        shots=30,
        same=20,
        rounds=[BenchRound(harness=h, program=p) for h, p in rounds],
        cost="30 shots in 10 s",
    )


def test_the_page_is_made_from_the_stored_measurement() -> None:
    page = benchmark.PAGE.read_text(encoding="utf-8")
    measurement = benchmark.read()
    assert page == benchmark.page(measurement, benchmark.sections(measurement)), f"run `{benchmark.COMMAND}`"


def test_the_page_has_the_median_of_the_rates_and_of_the_ratios() -> None:
    measurement = measured([(10.0, 100.0), (12.0, 144.0), (10.0, 110.0)])
    assert measurement.ratio == pytest.approx(11.0)
    assert measurement.rates(lambda r: r.harness) == [120.0, 100.0, 120.0]
    page = benchmark.page(measurement)
    assert "| harness | 10.0, 12.0, 10.0 | 120 |" in page
    assert "**11.0 times**" in page


def test_the_page_says_whether_the_goal_is_reached() -> None:
    assert "The goal of 10 times is reached." in benchmark.page(measured([(10.0, 100.0)]))
    assert "The goal of 10 times is not reached." in benchmark.page(measured([(10.0, 99.0)]))


def test_a_measurement_is_read_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "PAGE", tmp_path / "docs" / "benchmark.md")
    monkeypatch.setattr(benchmark, "RESULTS", tmp_path / "results" / "benchmark.json")
    monkeypatch.setattr(speed, "RESULTS", tmp_path / "results" / "converters.json")
    measurement = measured([(10.25, 100.5)])
    results, page = benchmark.write(measurement)
    assert benchmark.read(results) == measurement
    text = page.read_text(encoding="utf-8")
    assert text == benchmark.page(measurement, benchmark.sections(measurement))
    assert (
        "| cases a minute, beside upstream's program in the same run | at least 10 times | 9.8 times |"
        in text
    )
    assert "## Converting LoRA files" not in text
    speed.write(SPEED, speed.RESULTS)
    assert benchmark.write_page() == page
    text = page.read_text(encoding="utf-8")
    assert text == benchmark.page(measurement, benchmark.sections(measurement))
    assert "\n".join(speed.section(SPEED)) in text
