from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.converter.convert import convert
from harness.converter.extract import EXTRACTED, ExtractOptions, extract
from harness.converter.low_rank import RankChoice
from harness.converter.merge_into_base import WeightedAdapter, merge
from harness.converter.ranks import Ranks
from harness.formats.read import read_tensors
from harness.quantising.package_quantiser import PackageQuantiser
from sdcpp.errors import AdapterUnknown, FileInvalid, OutputRefused
from tests.unit.converter.lora_files import Arrays, pair, save
from tests.unit.converter.model_pairs import NORM, PROJ, QKV, difference, flux, tuned, written
from tests.unit.converter.rewritten_tensors import F64, close, delta, draw, stored

KOHYA = {name: f"lora_unet_{name.replace('.', '_')}" for name in (QKV, PROJ, NORM)}
SD1 = {
    "model.diffusion_model.input_blocks.0.0.weight": (16, 4, 3, 3),
    "model.diffusion_model.input_blocks.1.0.in_layers.2.weight": (16, 16, 3, 3),
    "model.diffusion_model.input_blocks.1.1.proj_in.weight": (16, 16, 1, 1),
    "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (16, 768),
    "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight": (32, 16),
    "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": (40, 16),
    "first_stage_model.encoder.conv_in.weight": (8, 3, 3, 3),
}
#: The same layers in a folder of diffusers.
DIFFUSERS = {
    "unet": {
        "conv_in.weight": "model.diffusion_model.input_blocks.0.0.weight",
        "down_blocks.0.resnets.0.conv1.weight": "model.diffusion_model.input_blocks.1.0.in_layers.2.weight",
        "down_blocks.0.attentions.0.proj_in.weight": "model.diffusion_model.input_blocks.1.1.proj_in.weight",
        "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight": "model.diffusion_model.input_blocks.1.1."
        "transformer_blocks.0.attn2.to_k.weight",
    },
    "text_encoder": {
        "text_model.encoder.layers.0.mlp.fc1.weight": "cond_stage_model.transformer.text_model.encoder.layers.0.mlp."
        "fc1.weight",
    },
}


def run(files: tuple[Path, Path], target: Path, choice: RankChoice, **options: object) -> Ranks:
    chosen = ExtractOptions(choice=choice, **({"kind": "F32"} | options))  # type: ignore[arg-type]
    return extract(*files, target, chosen)


def test_changes_of_a_small_rank_are_found(tmp_path: Path) -> None:
    before = flux()
    after = tuned(before, f"{QKV}.weight", f"{QKV}.bias", f"{NORM}.scale", f"{PROJ}.bias")
    target = tmp_path / "lora.safetensors"
    result = run(written(tmp_path, before, after), target, RankChoice(rank=4))
    found = stored(target)
    assert close_to(delta(found, KOHYA[QKV], (96, 32)), difference(before, after, f"{QKV}.weight"))
    assert close(found[f"{KOHYA[QKV]}.diff_b"], difference(before, after, f"{QKV}.bias"))
    assert close(found[f"{KOHYA[PROJ]}.diff_b"], difference(before, after, f"{PROJ}.bias"))
    assert close(found[f"{KOHYA[NORM]}.diff"], difference(before, after, f"{NORM}.scale"))
    assert {name.partition(".")[0] for name in found} == set(KOHYA.values())
    assert (len(result.modules), result.vectors, result.left_out) == (1, 3, [])
    metadata = read_tensors(target).metadata
    assert json.loads(str(metadata[EXTRACTED].value)) == {
        "base": "base.safetensors",
        "tuned": "tuned.safetensors",
    }
    merge(tmp_path / "base.safetensors", [WeightedAdapter(path=target)], tmp_path / "merged.safetensors")
    for name, value in stored(tmp_path / "merged.safetensors").items():
        np.testing.assert_allclose(value, after[name], atol=1e-6)


def close_to(found: F64, wanted: F64, error: float = 1e-5) -> bool:
    """Return whether values are equal but for the rounding of the tuned model."""
    return bool(np.linalg.norm(found - wanted) <= error * np.linalg.norm(wanted))


@pytest.mark.parametrize("choice", [RankChoice(rank=5), RankChoice(error=0.4)])
def test_the_approximation_is_the_best_one(tmp_path: Path, choice: RankChoice) -> None:
    before = flux()
    after = tuned(before, f"{QKV}.weight", rank=32)
    target = tmp_path / "lora.safetensors"
    [module] = run(written(tmp_path, before, after), target, choice).modules
    wanted = difference(before, after, f"{QKV}.weight")
    sigma = np.linalg.svd(wanted, compute_uv=False)
    tails = np.sqrt(np.append(np.cumsum((sigma**2)[::-1])[::-1], 0) / np.sum(sigma**2))
    assert module.after == (5 if choice.rank else int(np.argmax(tails <= 0.4)))
    error = np.linalg.norm(delta(stored(target), KOHYA[QKV], (96, 32)) - wanted) / np.linalg.norm(wanted)
    assert error == pytest.approx(tails[module.after], rel=1e-4)
    assert module.error == pytest.approx(error, rel=1e-4)


def test_convolutions_and_text_encoders(tmp_path: Path) -> None:
    before = {name: draw(*shape) for name, shape in SD1.items()}
    after = tuned(before, *before, rank=2)
    target = tmp_path / "lora.safetensors"
    kernels = RankChoice(rank=1)
    result = run(written(tmp_path, before, after), target, RankChoice(rank=2), kernels=kernels)
    found = stored(target)
    names = dict(
        zip(
            SD1,
            (
                "lora_unet_conv_in",
                "lora_unet_down_blocks_0_resnets_0_conv1",
                "lora_unet_down_blocks_0_attentions_0_proj_in",
                "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k",
                "lora_te_text_model_encoder_layers_0_mlp_fc1",
            ),
            strict=False,
        )
    )
    assert found["lora_unet_conv_in.lora_down.weight"].shape == (1, 4, 3, 3)
    assert found["lora_unet_conv_in.lora_up.weight"].shape == (16, 1, 1, 1)
    assert found["lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight"].shape == (2, 16, 1, 1)
    for name, key in list(names.items())[2:]:
        wanted = difference(before, after, name)
        assert close_to(delta(found, key, wanted.shape), wanted)
    wanted = difference(before, after, "model.diffusion_model.input_blocks.0.0.weight")
    sigma = np.linalg.svd(wanted.reshape(16, -1), compute_uv=False)
    error = np.linalg.norm(delta(found, "lora_unet_conv_in", wanted.shape) - wanted)
    assert error == pytest.approx(sigma[1], rel=1e-4)
    assert {name.partition(".")[0] for name in found} == set(names.values())
    assert [line.rpartition(": ")[2] for line in result.left_out] == [
        "no adapter changes a table of vectors",
        "kohya has no name for it (autoencoder)",
    ]


def test_a_folder_of_diffusers_and_a_single_file(tmp_path: Path) -> None:
    before = {name: draw(*shape) for name, shape in SD1.items()}
    after = tuned(before, *(name for name in before if name.startswith("model.")), rank=2)
    for folder, names in DIFFUSERS.items():
        (tmp_path / "base" / folder).mkdir(parents=True)
        save(
            tmp_path / "base" / folder / "model.safetensors",
            {own: before[name] for own, name in names.items()},
        )
    one = save(tmp_path / "tuned.safetensors", after)
    target = tmp_path / "lora.safetensors"
    result = run((tmp_path / "base", one), target, RankChoice(rank=2), scheme="diffusers")
    found = stored(target)
    for own, name in DIFFUSERS["unet"].items():
        wanted = difference(before, after, name)
        assert close_to(delta(found, f"unet.{own.removesuffix('.weight')}", wanted.shape), wanted)
    assert not [name for name in found if not name.startswith("unet.")]
    assert [line.rpartition(": ")[2] for line in result.left_out] == [
        "no adapter changes a table of vectors",
        "diffusers has no name for it (autoencoder)",
    ]


def test_fused_layers_become_pieces_and_split_files_are_read(tmp_path: Path) -> None:
    before = flux("model.diffusion_model.")
    name = f"model.diffusion_model.{QKV}.weight"
    after = tuned(before, name, f"model.diffusion_model.{QKV}.bias", rank=2)
    base, _ = written(tmp_path, before, after)
    names = list(after)
    for number, some in enumerate((names[:3], names[3:]), start=1):
        save(tmp_path / f"big-{number:05}-of-00002.safetensors", {each: after[each] for each in some})
    target = tmp_path / "lora.safetensors"
    run((base, tmp_path / "big-00001-of-00002.safetensors"), target, RankChoice(rank=2), scheme="diffusers")
    found = stored(target)
    wanted = difference(before, after, name)
    for index, part in enumerate("qkv"):
        key = f"transformer.transformer_blocks.0.attn.to_{part}"
        rows = slice(32 * index, 32 * index + 32)
        assert close_to(delta(found, key, (32, 32)), wanted[rows])
        bias = difference(before, after, f"model.diffusion_model.{QKV}.bias")
        assert close(found[f"{key}.lora_B.bias"], bias[rows])


def test_quantised_models(tmp_path: Path) -> None:
    before = flux()
    after = tuned(before, f"{PROJ}.weight", size=1.0)
    base, one = written(tmp_path, before, after)
    convert(base, tmp_path / "base.gguf", ["Q8_0"], PackageQuantiser(), force=True)
    was = stored(tmp_path / "base.gguf")
    assert read_tensors(tmp_path / "base.gguf").tensors[f"{PROJ}.weight"].kind == "Q8_0"
    target = tmp_path / "lora.gguf"
    run((tmp_path / "base.gguf", one), target, RankChoice(rank=32))
    wanted = after[f"{PROJ}.weight"].astype(np.float64) - was[f"{PROJ}.weight"]
    assert close_to(delta(stored(target), KOHYA[PROJ], (32, 32)), wanted)
    result = run((tmp_path / "base.gguf", one), target, RankChoice(rank=3), least=0.02, weights_only=True)
    assert [module.key for module in result.modules] == [KOHYA[PROJ]]


def test_types_that_differ_are_noted(tmp_path: Path) -> None:
    before = flux()
    half = {name: value.astype(np.float16) for name, value in tuned(before, f"{PROJ}.weight").items()}
    result = run(written(tmp_path, before, half), tmp_path / "lora.safetensors", RankChoice(rank=2))
    assert result.notes == [
        "the models have different types (F32 and F16), so the rounding of both is part of the difference"
    ]


def test_values_and_tensors_that_are_no_weights(tmp_path: Path) -> None:
    before = flux() | {"pos_embed": draw(4, 4)}
    after = tuned(before, f"{PROJ}.weight", f"{PROJ}.bias", "pos_embed") | {"new": draw(3)}
    target = tmp_path / "lora.safetensors"
    result = run(written(tmp_path, before, after), target, RankChoice(rank=2), weights_only=True, kind="F16")
    assert result.left_out == [
        "pos_embed: no weight or bias",
        "new: base.safetensors has no tensor of this name",
    ]
    assert {tensor.kind for tensor in read_tensors(target).tensors.values() if tensor.size > 1} == {"F16"}
    assert set(stored(target)) == {
        f"{KOHYA[PROJ]}.{end}" for end in ("lora_down.weight", "lora_up.weight", "alpha")
    }


def refused(folder: Path, before: Arrays, after: Arrays, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        run(written(folder, before, after), folder / "lora.safetensors", RankChoice(rank=2))
    assert not (folder / "lora.safetensors").exists()


def test_models_that_do_not_fit(tmp_path: Path) -> None:
    before = flux()
    refused(tmp_path, before, before, AdapterUnknown, "no layer differs")
    unet = {name: draw(*shape) for name, shape in SD1.items()}
    refused(tmp_path, before, unet, AdapterUnknown, r"base\.safetensors is a model of FLUX\.1, and tuned")
    refused(tmp_path, pair(), before, AdapterUnknown, "this is an adapter, not a model")
    wide = before | {f"{PROJ}.weight": draw(32, 64)}
    refused(
        tmp_path, before, wide, AdapterUnknown, r"\[32, 32\] in base\.safetensors and \[32, 64\] in tuned"
    )
    lacking = {name: value for name, value in before.items() if PROJ not in name}
    refused(tmp_path, lacking, before, AdapterUnknown, r"base\.safetensors has no such layer")
    refused(
        tmp_path,
        {n: v for n, v in before.items() if n != f"{PROJ}.bias"},
        before,
        AdapterUnknown,
        "has a bias",
    )
    scaled = before | {f"{PROJ}.scale_weight": draw(1)}
    refused(tmp_path, scaled, tuned(scaled, f"{PROJ}.weight"), AdapterUnknown, "stores a factor")
    nan = before | {f"{PROJ}.weight": np.full((32, 32), np.nan, np.float32)}
    refused(tmp_path, before, nan, FileInvalid, r"proj\.weight has NaN or infinity")
    changed = tuned(wide, f"{QKV}.weight")
    found = run(
        written(tmp_path, before, changed), tmp_path / "lora.safetensors", RankChoice(rank=2), force=True
    )
    assert [module.key for module in found.modules] == [KOHYA[QKV]]
    assert len(found.left_out) == 1
    with pytest.raises(OutputRefused, match="the output is the input"):
        run(written(tmp_path, before, changed), tmp_path / "base.safetensors", RankChoice(rank=2))


def test_a_base_without_the_text_encoder(tmp_path: Path) -> None:
    before = {name: draw(*shape) for name, shape in SD1.items()}
    after = tuned(before, *before)
    unet = {name: value for name, value in before.items() if name.startswith("model.")}
    result = run(written(tmp_path, unet, after), tmp_path / "lora.safetensors", RankChoice(rank=2))
    assert [line.rpartition(": ")[2] for line in result.left_out] == [
        "base.safetensors has no text encoder 1",
        "no adapter changes a table of vectors",
        "kohya has no name for it (autoencoder)",
    ]
