from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.converter.table import USUAL
from harness.studies.conversion import peers, speed
from harness.studies.conversion.peers import Conversion
from harness.studies.conversion.speed import ConverterSpeed, TypeRounds
from sdcpp.binding.build_folder import Build
from sdcpp.errors import LibraryUnusable


def rounds(kind: str, ours: list[float], upstream: list[float], package: list[float]) -> TypeRounds:
    seconds = {"ours": ours, "upstream": upstream, "gguf-py": package}
    return TypeRounds(kind=kind, seconds=seconds, cpu_seconds=seconds, peak=dict.fromkeys(seconds, "50 + 40"))


SPEED = ConverterSpeed(
    build="2026-05 unpatched",
    processor="A processor",
    cores=2,
    date="2026-01-02",
    load=4.5,
    megabytes={"large": 503.6, "small": 9.9},
    types=[
        rounds("Q8_0", [1.0, 1.0, 2.0], [1.0, 1.0, 1.0], [5.0, 6.0, 8.0]),
        rounds("Q4_0", [4.0, 5.0, 6.0], [4.0, 4.0, 4.0], [5.0, 5.0, 5.0]),
    ],
    table=[18.0, 19.0, 25.0],
    table_cpu=[30.0, 31.0, 32.0],
    first_row=[1.0, 1.5, 2.0],
    table_upstream=[3.0, 4.0, 5.0],
)


def test_a_ratio_is_the_median_of_the_ratios_of_the_rounds() -> None:
    assert [each.ratio("gguf-py", "ours") for each in SPEED.types] == [5.0, 1.0]
    assert SPEED.types[1].ratio("ours", "upstream") == 1.25


def test_the_section_has_the_medians_and_says_which_goals_are_reached() -> None:
    text = "\n".join(speed.section(SPEED))
    assert "| Q8_0 | gguf package | 6.0 | 5.0, 6.0, 8.0 | 6.0 | 50 + 40 MB |" in text
    assert "A LoRA of 504 MB" in text
    assert "Before the measurement 4.5 processes wanted a core." in text
    assert "- Q8_0: 5.0 times as fast as the gguf package. The goal of 5 times is reached." in text
    assert (
        "- Q4_0: 1.25 times the time of stable-diffusion.cpp. The goal of at most 1 is not reached." in text
    )
    assert (
        "19.0 s (18.0, 19.0, 25.0) and 31.0 CPU seconds, the first row after 1.5 s. The goal of 20 s is reached."
        in text
    )
    slow = replace(SPEED, table=[21.0], types=[rounds("Q8_0", [1], [1], [4]), rounds("Q4_0", [1], [1], [1])])
    text = "\n".join(speed.section(slow))
    assert "4.0 times as fast as the gguf package. The goal of 5 times is not reached." in text
    assert "1.00 times the time of stable-diffusion.cpp. The goal of at most 1 is reached." in text
    assert "The goal of 20 s is not reached." in text
    assert "lora table" not in "\n".join(speed.section(replace(SPEED, table=())))


def test_a_measurement_is_read_as_written(tmp_path: Path) -> None:
    speed.write(SPEED, tmp_path / "converters.json")
    assert speed.read(tmp_path / "converters.json") == SPEED


def test_the_converters_take_turns_and_leave_no_file(
    fake_build: Callable[..., Build], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str, int]] = []

    def measure(converter: str, _folder: Path, source: Path, target: Path, kind: str) -> Conversion:
        target.touch()
        asked.append((converter, kind, source.stat().st_size))
        return Conversion(path=target, seconds=len(asked), cpu_seconds=0.5, peak="1 + 2")

    monkeypatch.setattr(speed, "LARGE", (2, 64, 32))
    monkeypatch.setattr(speed, "SMALL", (1, 64, 32))
    monkeypatch.setattr(peers, "measure", measure)
    monkeypatch.setattr(speed, "_table", lambda *_: (9.0, 12.0, 1.0))
    first, *_, found = speed.measure(fake_build("C").folder, 2)
    assert first == replace(found, table=(), table_cpu=(), first_row=(), table_upstream=())
    q8_0, q4_0 = found.types
    assert q8_0.seconds == {"ours": [1, 4], "upstream": [2, 5], "gguf-py": [3, 6]}
    assert q4_0.seconds["gguf-py"] == [9, 12]
    assert (found.table, found.table_cpu, found.first_row) == ([9.0, 9.0], [12.0, 12.0], [1.0, 1.0])
    table = [each for each in asked[12:] if each[0] == "upstream"]
    assert {kind for _, kind, _ in table} == set(USUAL) - {"F16"}
    assert found.megabytes["large"] > found.megabytes["small"]


class _Table:
    """``sdcpp lora table`` that prints lines and ends with a status."""

    def __init__(self, lines: int, status: int) -> None:
        self.stdout, self._status = io.BytesIO(b"| a |\n" * lines), status

    def wait(self) -> int:
        return self._status


def test_a_table_has_the_seconds_of_its_first_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "start", lambda *_, **__: _Table(5, 0))
    whole, cpu, first = speed._table(Path("build"), Path("a.safetensors"))
    assert 0 <= first <= whole
    assert cpu >= 0


def test_a_table_that_fails_is_an_error_with_its_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: Any, stderr: int) -> Any:
        os.write(stderr, b"error: no such type\n")
        return _Table(2, 5)

    monkeypatch.setattr(speed, "start", start)
    with pytest.raises(LibraryUnusable, match="lora table failed: error: no such type"):
        speed._table(Path("build"), Path("a.safetensors"))
    monkeypatch.setattr(speed, "start", lambda *_, **__: SimpleNamespace(stdout=[], wait=lambda: 0))
    with pytest.raises(LibraryUnusable, match="lora table failed: 0"):
        speed._table(Path("build"), Path("a.safetensors"))
