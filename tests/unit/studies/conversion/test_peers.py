from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.converter.picture_loss import Effect
from harness.formats.read import read_tensors
from harness.studies.conversion import peers
from harness.studies.conversion.peers import Exchange
from sdcpp.binding.build_folder import Build
from sdcpp.errors import LibraryUnusable
from tests.unit.converter.lora_files import pair, save


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a LoRA of one module."""
    return save(tmp_path / "a.safetensors", pair())


def test_a_converter_runs_in_a_separate_process_and_its_cost_is_a_line_of_the_table(
    source: Path, tmp_path: Path
) -> None:
    done = peers.measure("gguf-py", tmp_path, source, tmp_path / "b.gguf", "Q8_0")
    kinds = {tensor.kind for tensor in read_tensors(done.path).tensors.values()}
    assert "Q8_0" in kinds
    assert done.seconds > 0
    assert done.cpu_seconds > 0
    peaks = [int(number) for number in done.peak.split(" + ")]
    assert len(peaks) == 2
    assert 10 < peaks[0] < 10_000  # MB
    head, _, line = peers.cost_table(source, {"gguf-py": done}, loss=True)
    assert line.startswith("| gguf-py | ")
    assert line.count("|") == head.count("|")
    loss = float(line.split("|")[-2].strip().rstrip("%"))
    assert 0 < loss < 2


def test_a_converter_that_fails_is_named_with_the_last_line_of_its_output(tmp_path: Path) -> None:
    source = save(tmp_path / "a.safetensors", pair(inner=256))
    with pytest.raises(LibraryUnusable, match=r"gguf-py failed: .*Q4_K"):
        peers.measure("gguf-py", tmp_path, source, tmp_path / "b.gguf", "Q4_K")


def test_a_library_without_a_converter_is_unusable(
    fake_build: Callable[..., Build], source: Path, tmp_path: Path
) -> None:
    with pytest.raises(LibraryUnusable, match="upstream failed"):
        peers.measure("upstream", fake_build("C").folder, source, tmp_path / "b.gguf", "Q8_0")


def test_an_exchange_is_a_line_with_errors_or_outcomes() -> None:
    def effect(error: float | None, outcome: str = "") -> Effect:
        return Effect(path=Path("x"), error=error, outcome=outcome)

    exchange = Exchange(
        converter="ours",
        tensors=9,
        equal_tensors=8,
        loss=effect(0.125),
        against_values=effect(None, "crashed"),
        against_ours=effect(0.0),
    )
    assert list(peers.exchange_table([exchange]))[2] == "| ours | 9 | 8 | 12.50% | crashed | 0.00% |"
