from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.cli.main import main
from sdcpp.errors import StandardOutputLost
from tests.unit.converter.lora_files import pair, save


def test_converting_for_a_base_that_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(tmp_path / "a.safetensors", pair(inner=48) | pair(key="lora_unet_other"))
    base = save(tmp_path / "base.safetensors", {"block.proj.weight": np.zeros((64, 32), np.float32)})
    assert main(["lora", "convert", str(path), str(tmp_path / "b.gguf"), "--base-model", str(base)]) == 56
    said = capsys.readouterr().err
    assert "changes [64, 48], the base model has [64, 32] at block.proj.weight (and 1 more)" in said
    assert not (tmp_path / "b.gguf").exists()


def test_the_commands_of_lora_print_results_and_exit_by_what_they_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cache_folder: Path
) -> None:
    assert not cache_folder.exists()
    a = save(tmp_path / "a.safetensors", pair())
    assert main(["lora", "convert", str(a), str(tmp_path / "b.gguf"), "--type", "q8_0", "--verbose"]) == 0
    said = capsys.readouterr().out
    assert "F32 -> Q8_0" in said
    assert "bits per weight" in said
    assert main(["lora", "convert", str(a), str(tmp_path / "b.gguf"), "--max-loss", "5%"]) == 0
    assert "allowed 5.000%" in capsys.readouterr().out
    assert main(["lora", "convert", str(a), str(tmp_path / "c.gguf"), "--type", "IQ3_S"]) == 52
    assert main(["lora", "convert", str(a), str(a)]) == 53
    assert main(["lora", "inspect", str(tmp_path / "none.gguf")]) == 51
    assert main(["lora", "inspect", str(tmp_path / "b.gguf")]) == 0


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_closed_pipe_leaves_no_traceback(tmp_path: Path, form: list[str]) -> None:
    file = save(tmp_path / "a.safetensors", pair())
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "harness", "lora", "inspect", str(file), *form],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert done.returncode == StandardOutputLost.exit_code
    assert done.stderr.startswith("error: results could not be written (Broken pipe): standard output\n")
    assert "Traceback" not in done.stderr
