from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli.main import main
from harness.converter import plot
from harness.converter.compare import compare
from tests.unit.converter.lora_files import pair, save


def test_a_comparison_is_printed_and_plotted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = save(tmp_path / "a.safetensors", pair() | pair(key="lora_unet_block_out", seed=3))
    b = save(tmp_path / "b.safetensors", pair())
    assert main(["lora", "compare", str(a), str(b), "--json", "--plot", str(tmp_path / "p.svg")]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["only_a"] == [
        f"lora_unet_block_out.{p}" for p in ("lora_down.weight", "lora_up.weight", "alpha")
    ]
    assert data["relative_error"] == pytest.approx(2**-0.5, rel=1e-3)
    assert "lora_unet_block_out: 100.000%" in (tmp_path / "p.svg").read_text()
    assert plot.svg(compare(a, a)).endswith("</svg>\n")
