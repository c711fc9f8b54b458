from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.cli.main import main
from harness.formats.tensor import MetadataValue
from harness.formats.write import Spec, as_bytes, write_container
from harness.text import one_line
from sdcpp.errors import FileInvalid, OutputRefused, StandardOutputLost
from tests.unit.converter.lora_files import Arrays, pair, save


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


#: A title for the window, a cleared screen, a line of its own, a reversed direction of writing, a tag.
HOSTILE = "\x1b]0;owned\x07\x1b[2J\n! ok\x9b\u202e<script>&"
SHOWN = r"\x1b]0;owned\x07\x1b[2J\n! ok\x9b\u202e<script>&"


def hostile_pair(path: Path) -> Path:
    """Write a LoRA whose names and metadata have commands to the terminal in them, and with a problem."""
    arrays = pair(key=HOSTILE) | pair(key="lora_unet_ok")
    arrays[f"{HOSTILE}.lora_up.weight"] = np.full((64, 32), np.nan, np.float32)
    arrays[HOSTILE] = np.ones(2, np.float32)
    specs = [Spec(name=name, shape=array.shape, kind="F32") for name, array in arrays.items()]
    metadata = {"a" + HOSTILE: MetadataValue(type="STRING", value=HOSTILE)}
    write_container(path, "safetensors", specs, metadata, lambda spec, _: [as_bytes(arrays[spec.name])])
    return path


@pytest.mark.parametrize("amount", [[], ["-v"], ["-q"], ["--json"]])
@pytest.mark.parametrize("command", ["inspect", "compare", "convert", "merge"])
def test_names_and_metadata_of_a_file_never_command_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, amount: list[str]
) -> None:
    file = hostile_pair(tmp_path / "a.safetensors")
    base = save(tmp_path / "base.safetensors", {"ok.weight": np.zeros((64, 96), np.float32)})
    words: dict[str, list[object]] = {
        "inspect": [file],
        "compare": [file, file, "--plot", tmp_path / "a.svg"],
        "convert": [file, tmp_path / "b.safetensors", "--force"],
        "merge": [base, file, tmp_path / "c.safetensors"],
    }
    main(["lora", command, *map(str, words[command]), *amount])
    said = "".join(capsys.readouterr())
    assert not set(said) & {"\x1b", "\x07", "\x9b", "\u202e"}
    assert not any(line.startswith("! ok") for line in said.splitlines())
    if command == "inspect" and not amount:
        assert f"= {one_line(HOSTILE)}" in said
        assert f"tensor {SHOWN} belongs to no adapter" in said
    if command == "compare":
        root = ET.parse(tmp_path / "a.svg").getroot()  # noqa: S314 - our own
        assert any("owned" in (element.text or "") for element in root.iter())
        assert not set((tmp_path / "a.svg").read_text()) & {"\x1b", "\x07", "\x9b", "\u202e"}


def test_json_of_hostile_names_is_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = hostile_pair(tmp_path / "a.safetensors")
    assert main(["lora", "inspect", "--json", str(file)]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["metadata"]["a" + HOSTILE] == HOSTILE


def test_several_files_are_inspected_even_if_one_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = save(tmp_path / "good.safetensors", pair())
    page = tmp_path / "page.safetensors"
    page.write_text("<html><title>Sign in</title></html>")
    lacking = save(tmp_path / "lacking.safetensors", {"x.lora_up.weight": np.ones((4, 4), np.float32)})
    files = [str(good), str(page), str(lacking)]
    assert main(["lora", "inspect", "-q", *files]) == FileInvalid.exit_code
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        f"{good}: a LoRA: no problems found",
        f"{lacking}: an adapter: 1 problem",
    ]
    assert "this is a web page (Sign in), not a LoRA or a model" in shown.err
    assert main(["lora", "inspect", "--json", *files]) == FileInvalid.exit_code
    data = json.loads(capsys.readouterr().out)
    assert (data[1]["path"], data[1]["status"]) == ("page.safetensors", FileInvalid.exit_code)
    assert data[0]["conclusion"] == "a LoRA: no problems found"
    assert main(["lora", "inspect", str(good), str(lacking)]) == 1
    assert main(["lora", "inspect", str(good), str(good)]) == 0


def test_the_conclusion_comes_first_and_most_problems_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays: Arrays = {}
    for number in range(200):
        arrays |= pair(rank=2, out=4, inner=4, key=f"lora_unet_single_blocks_{number}_linear1")
    file = save(tmp_path / "flux.safetensors", arrays)
    cross = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    base = save(tmp_path / "sd1.safetensors", {cross: np.zeros((320, 768), np.float32)})
    said = "a LoRA for FLUX.1; the model is Stable Diffusion 1.x"
    assert main(["lora", "inspect", str(file), "--base-model", str(base)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{file}: {said}"
    assert len(lines) < 15
    assert "195 more, which --verbose shows" in lines[-1]
    assert main(["lora", "inspect", "-v", str(file), "--base-model", str(base)]) == 1
    assert len(capsys.readouterr().out.splitlines()) > 200
    assert main(["lora", "merge", str(base), str(file), str(tmp_path / "m.safetensors")]) == 56
    assert said in capsys.readouterr().err
    assert main(["lora", "convert", str(file), str(tmp_path / "b.gguf"), "--base-model", str(base)]) == 56
    assert f"{said} (and 200 more)" in capsys.readouterr().err


def test_no_clobber_keeps_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = save(tmp_path / "a.safetensors", pair())
    base = save(tmp_path / "base.safetensors", {"block.proj.weight": np.zeros((64, 96), np.float32)})
    there = tmp_path / "there.gguf"
    there.write_bytes(b"mine")
    for words in (["convert", a, there], ["merge", base, a, there], ["compare", a, a, "--plot", there]):
        assert main(["lora", *map(str, words), "--no-clobber"]) == OutputRefused.exit_code
        assert "the file exists already" in capsys.readouterr().err
        assert there.read_bytes() == b"mine"
        assert main(["lora", *map(str, words)]) == 0
        there.write_bytes(b"mine")
        capsys.readouterr()


def test_every_command_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = save(tmp_path / "a.safetensors", pair(rank=16, key="lora_unet_double_blocks_0_img_attn_proj"))
    base = save(
        tmp_path / "base.safetensors",
        {"double_blocks.0.img_attn.proj.weight": np.zeros((64, 96), np.float32)},
    )

    def run(*words: object) -> Any:
        assert main(["lora", *map(str, words), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    done = run("convert", a, tmp_path / "b.gguf", "--type", "Q8_0")
    assert {each["type"] for each in done["tensors"]} == {"Q8_0", "F16", "F32"}
    assert "rows of 16 are no whole blocks of 32 (Q8_0)" in done["advice"]
    assert {(each["revision"], each["verdict"]) for each in done["needs"]} >= {("2026-05", "ABORT")}
    done = run("convert", a, tmp_path / "b.gguf", "--max-loss", "5%")
    assert 0 < done["measured_loss"] <= 0.05
    assert run("merge", base, a, tmp_path / "m.safetensors")["skipped"] == []
    assert run("compare", a, a)["relative_error"] == 0
    assert [row["kind"] for row in run("table", a, "--type", "Q8_0")] == ["Q8_0", "Q8_0"]
    assert run("inspect", a)["conclusion"] == "a LoRA for FLUX.1: no problems found"


def test_a_conversion_ends_with_what_the_result_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = save(tmp_path / "a.safetensors", pair(rank=16, key="lora_unet_double_blocks_0_img_attn_proj"))
    words = ["lora", "convert", str(a), str(tmp_path / "b.gguf"), "--type", "Q8_0"]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "without patches, 2026-05 and 2026-07 abort in mode auto and immediately" in lines
    assert lines[-1].startswith(
        "what to do: use --lora-apply-mode at_runtime with 2026-05 and 2026-07, or build"
    )
    assert main([*words, "-q"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{tmp_path / 'b.gguf'}: ")
    assert main(["lora", "convert", str(a), str(tmp_path / "b.safetensors")]) == 0
    assert "without patches" not in capsys.readouterr().out
