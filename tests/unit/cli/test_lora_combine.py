from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.cli.main import main
from harness.formats.read import read_tensors
from tests.unit.converter.lora_files import KEY, pair, save
from tests.unit.converter.rewritten_tensors import close, delta, product, stored

PUBLISHED = "lora_unet_double_blocks_0_img_attn_proj"


def combine(*words: object) -> int:
    return main(["lora", "combine", *map(str, words)])


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return tuple(  # type: ignore[return-value]
        save(tmp_path / f"{name}.safetensors", pair(rank=rank, seed=rank, key=PUBLISHED))
        for name, rank in (("a", 8), ("b", 4))
    )


def test_two_files(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    target = files[0].with_name("c.safetensors")
    assert combine(f"{files[0]}@0.5", f"{files[1]}@-2", target, "-v") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        f"{target}: 1 module of rank 12, relative error of ΔW 0.000%",
        f"    0.000%  rank 8 -> 12  {PUBLISHED}",
    ]
    one, other = (
        0.5 * product(own[f"{PUBLISHED}.lora_up.weight"], own[f"{PUBLISHED}.lora_down.weight"])
        for own in map(stored, files)
    )
    assert close(delta(stored(target), PUBLISHED, (64, 96)), 0.5 * one - 2 * other)


def test_ranks_names_types_and_json(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    target = files[0].with_name("c.gguf")
    assert combine(*files, target, "--rank", 6, "--names", "comfy", "--type", "Q8_0", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["target"] == "c.gguf"
    assert data["adapters"] == [["a.safetensors", 1], ["b.safetensors", 1]]
    [module] = data["modules"]
    assert (module["key"], module["rank"]) == ("diffusion_model.double_blocks.0.img_attn.proj", 6)
    assert 0 < module["error"] == data["relative_error"]
    assert data["needs"]
    tensors = read_tensors(target).tensors
    assert tensors[f"{module['key']}.lora_A.weight"].kind == "Q8_0"
    assert not [path for path in target.parent.iterdir() if path.name.startswith(".")]


def test_what_is_refused(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "c.safetensors"
    assert combine(*files, files[0]) == 53
    assert combine(*files, tmp_path / "no" / "c.safetensors") == 53
    assert combine(*files, tmp_path / "c.txt") == 51
    assert combine(*files, target, "--type", "Q8_0") == 52
    assert combine(files[0], tmp_path / "none.safetensors", target) == 51
    assert combine(f"{files[0]}@0", target) == 56
    for words in ([f"{files[0]}@nan", target], [*files, target, "--rank", 4, "--loss", "5%"]):
        with pytest.raises(SystemExit) as ended:
            combine(*words)
        assert ended.value.code == 2
    assert not target.exists()
    target.write_bytes(b"kept")
    assert combine(*files, target, "--no-clobber") == 53
    assert target.read_bytes() == b"kept"
    assert "is no number" in capsys.readouterr().err


def test_force_leaves_out_what_cannot_be_combined(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = pair(key=PUBLISHED) | {f"{PUBLISHED}.dora_scale": np.ones((64, 1), np.float32)}
    dora = save(files[0].with_name("d.safetensors"), arrays | pair(key=KEY))
    target = files[0].with_name("c.safetensors")
    assert combine(files[0], dora, target) == 56
    assert "add --base-model MODEL" in capsys.readouterr().err
    assert combine(files[0], dora, target, "--force") == 0
    assert f"left out: {PUBLISHED}: the change of a DoRA" in capsys.readouterr().out
    assert {name.rpartition(".lora")[0] for name in stored(target)} >= {KEY}
