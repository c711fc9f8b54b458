"""Kinds of adapters that are not supported are named, in every command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.cli.main import main
from harness.converter.unsupported_kinds import PARAMETERS, unsupported
from harness.formats.read import read_tensors
from sdcpp.errors import AdapterUnknown
from tests.unit.converter.lora_files import Arrays, pair, save

#: The tensors of one module as the programs store them, by kind.
MODULES: dict[str, dict[str, tuple[int, ...]]] = {
    "OFT": {"oft_blocks": (4, 16, 16), "alpha": (), "rescale": (64, 1)},
    "BOFT": {"oft_blocks": (2, 4, 16, 16), "alpha": ()},
    "GLoRA": {f"{name}.weight": (8, 64) for name in ("a1", "a2", "b1", "b2")} | {"alpha": ()},
    "T-LoRA": {"q_layer.weight": (8, 64), "p_layer.weight": (64, 8), "lambda_layer": (1, 8), "alpha": ()},
    "(IA)³": {"weight": (64,), "on_input": ()},
    "VeRA": {"vera_lambda_b": (64,), "vera_lambda_d": (8,)},
    "DyLoRA": {"up_list.0": (64, 1), "down_list.0": (1, 64), "alpha": ()},
    "AdaLoRA": {"lora_A": (8, 64), "lora_B": (64, 8), "lora_E": (8, 1)},
    "FourierFT": {"fourierft_spectrum": (100,)},
    "HRA": {"hra_u": (64, 8)},
    "LoRA of an embedding": {"lora_embedding_A": (8, 64), "lora_embedding_B": (64, 8)},
}


def module(kind: str, key: str = "lora_unet_block_proj") -> Arrays:
    return {f"{key}.{name}": np.ones(shape, np.float32) for name, shape in MODULES[kind].items()}


@pytest.mark.parametrize("kind", MODULES)
def test_a_kind_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    path = save(tmp_path / "a.safetensors", module(kind) | module(kind, "lora_unet_other"))
    base = save(tmp_path / "base.safetensors", {"block.proj.weight": np.zeros((64, 64), np.float32)})
    said = f"2 modules of the kind {kind}, which is not supported, such as lora_unet_block_proj"
    for words in (
        ["convert", path, tmp_path / "b.gguf"],
        ["compare", path, path],
        ["merge", base, path, tmp_path / "m.gguf"],
    ):
        assert main(["lora", *map(str, words)]) == AdapterUnknown.exit_code
        assert said in capsys.readouterr().err
    assert main(["lora", "inspect", str(path)]) == 1
    shown = capsys.readouterr().out
    assert said in shown
    assert "lacks" not in shown
    assert "belongs to no adapter" not in shown
    assert main(["lora", "convert", "--force", str(path), str(tmp_path / "b.safetensors")]) == 0


@pytest.mark.parametrize("kind", PARAMETERS)
@pytest.mark.parametrize("form", ["{}", "{}.weight", "{}.default", "{}.default.weight", "{}.0"])
def test_parameters_are_recognised_in_every_form(tmp_path: Path, kind: str, form: str) -> None:
    name = "base_model.model.block.proj." + form.format(PARAMETERS[kind][0])
    if kind == "GLoRA":
        name = "base_model.model.block.proj.a1.weight"
    tensors = read_tensors(save(tmp_path / "a.safetensors", {name: np.ones((2, 4, 4), np.float32)})).tensors
    assert [each.name for each in unsupported(tensors.values())] == [kind]


def test_supported_kinds_are_not_among_them(tmp_path: Path) -> None:
    names = ("lora_A.weight", "lora_B.weight", "alpha", "lokr_w1", "hada_w1_a", "diff_b", "a1.bias", "weight")
    arrays = {f"transformer.block.{name}": np.ones((4, 4), np.float32) for name in names} | pair()
    assert not unsupported(read_tensors(save(tmp_path / "a.safetensors", arrays)).tensors.values())


def test_one_module_of_such_a_kind_among_others_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "a.safetensors", pair() | module("OFT", "lora_unet_other"))
    [found] = unsupported(read_tensors(path).tensors.values())
    assert (found.name, found.keys, len(found.tensors)) == ("OFT", ("lora_unet_other",), 3)
    assert main(["lora", "compare", str(path), str(path)]) == AdapterUnknown.exit_code
