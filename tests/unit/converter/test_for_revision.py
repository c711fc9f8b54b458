from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.adapters import definitions
from harness.adapters.adapter import Adapter, changes
from harness.converter.for_revision import rewritten
from harness.converter.revision_limits import UNPATCHED, limits
from harness.converter.rewriting import Rewriting
from harness.formats.read import read_tensors
from harness.formats.write import write_arrays
from harness.models.tiny_models import FLUX_SMALL
from tests.unit.converter.lora_files import Arrays, save
from tests.unit.converter.rewritten_tensors import F64, close, delta, draw, product, stored

#: A layer of Flux in kohya's names, and the name that every revision understands.
PROJ, SAFE_PROJ = "lora_unet_double_blocks_0_img_attn_proj", "diffusion_model.double_blocks.0.img_attn.proj"
#: A linear layer and a convolution of a UNet.
QUERY = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
KERNEL = "lora_unet_down_blocks_0_resnets_0_conv1"
TEXT = "text_model.encoder.layers.3.mlp.fc1"


def convert(folder: Path, arrays: Arrays, base: Arrays | None = None, revision: str = "2026-05") -> Rewriting:
    """Rewrite arrays for a revision and write the file out.safetensors."""
    source = read_tensors(save(folder / "in.safetensors", arrays))
    tensors = None
    if base is not None:
        write_arrays(folder / "base.safetensors", "safetensors", base)
        tensors = dict(read_tensors(folder / "base.safetensors").tensors)
    found = rewritten(source, limits(revision), tensors)
    found.write(folder / "out.safetensors")
    return found


def pair(key: str, down: object, up: object, alpha: float | None = None) -> Arrays:
    found = {f"{key}.lora_down.weight": np.asarray(down), f"{key}.lora_up.weight": np.asarray(up)}
    return found if alpha is None else found | {f"{key}.alpha": np.array(alpha, np.float32)}


def test_a_plain_pair_is_copied_to_a_name_that_works(tmp_path: Path) -> None:
    down, up = draw(4, 16).astype(np.float16), draw(24, 4).astype(np.float16)
    found = convert(tmp_path, pair(PROJ, down, up, 2.0))
    tensors = read_tensors(tmp_path / "out.safetensors").tensors
    assert set(tensors) == {f"{SAFE_PROJ}{end}" for end in (".lora_down.weight", ".lora_up.weight", ".alpha")}
    assert tensors[f"{SAFE_PROJ}.lora_up.weight"].kind == "F16"
    assert np.array_equal(tensors[f"{SAFE_PROJ}.lora_up.weight"].values(), up)
    # A scalar has one axis and is F32: 2025-12 aborts for BF16, and readers of ckpt refuse a tensor without axes.
    assert (tensors[f"{SAFE_PROJ}.alpha"].kind, tensors[f"{SAFE_PROJ}.alpha"].shape) == ("F32", (1,))
    assert close(delta(stored(tmp_path / "out.safetensors"), SAFE_PROJ, (24, 16)), 0.5 * product(up, down))
    assert not found.refused


def test_rank_1_is_padded_with_zeros(tmp_path: Path) -> None:
    down, up = draw(1, 16), draw(24, 1)
    convert(tmp_path, pair(PROJ, down, up, 0.5))
    tensors = stored(tmp_path / "out.safetensors")
    assert tensors[f"{SAFE_PROJ}.lora_down.weight"].shape == (2, 16)
    assert not tensors[f"{SAFE_PROJ}.lora_up.weight"][:, 1].any()
    assert close(delta(tensors, SAFE_PROJ, (24, 16)), 0.5 * product(up, down))


def test_a_scale_becomes_an_alpha(tmp_path: Path) -> None:
    down, up = draw(4, 16), draw(24, 4)
    convert(tmp_path, pair(PROJ, down, up) | {f"{PROJ}.scale": np.array(0.3, np.float32)})
    tensors = stored(tmp_path / "out.safetensors")
    assert f"{SAFE_PROJ}.scale" not in tensors
    assert close(delta(tensors, SAFE_PROJ, (24, 16)), float(np.float32(0.3)) * product(up, down))


@pytest.mark.parametrize("rank", [1, 3])
def test_a_loha_keeps_its_kind(tmp_path: Path, rank: int) -> None:
    factors = {
        "hada_w1_a": draw(24, rank),
        "hada_w1_b": draw(rank, 16),
        "hada_w2_a": draw(24, rank),
        "hada_w2_b": draw(rank, 16),
    }
    arrays = {f"{PROJ}.{name}": value for name, value in factors.items()}
    convert(tmp_path, arrays | {f"{PROJ}.alpha": np.array(2, np.float32)})
    tensors = stored(tmp_path / "out.safetensors")
    assert tensors[f"{SAFE_PROJ}.hada_w1_b"].shape[0] == max(rank, 2)
    doubled = {name: value.astype(np.float64) for name, value in factors.items()}
    assert close(delta(tensors, SAFE_PROJ, (24, 16)), 2 / rank * definitions.loha(doubled, (24, 16)))


def test_a_lokr_is_multiplied_out(tmp_path: Path) -> None:
    factors = {
        "lokr_w1": draw(4, 2),
        "lokr_w2_a": draw(6, 2),
        "lokr_w2_b": draw(2, 8),
    }
    arrays = {f"{PROJ}.{name}": value for name, value in factors.items()}
    found = convert(tmp_path, arrays | {f"{PROJ}.alpha": np.array(1, np.float32)})
    tensors = stored(tmp_path / "out.safetensors")
    assert set(tensors) == {f"{SAFE_PROJ}.lokr_w1", f"{SAFE_PROJ}.lokr_w2"}
    doubled = {name: value.astype(np.float64) for name, value in factors.items()}
    assert close(delta(tensors, SAFE_PROJ, (24, 16)), 0.5 * definitions.lokr(doubled, (24, 16)))
    assert found.done == {"made into a LoKr of two whole matrices": 1}


def test_a_lokr_of_a_convolution_becomes_a_difference(tmp_path: Path) -> None:
    factors = {"lokr_w1": draw(2, 2), "lokr_w2": draw(4, 3, 3, 3)}
    convert(tmp_path, {f"{KERNEL}.{name}": value for name, value in factors.items()})
    tensors = stored(tmp_path / "out.safetensors")
    doubled = {name: value.astype(np.float64) for name, value in factors.items()}
    assert set(tensors) == {f"{KERNEL}.diff"}
    assert close(tensors[f"{KERNEL}.diff"], definitions.lokr(doubled, (8, 6, 3, 3)))


def test_a_tucker_product_becomes_a_pair(tmp_path: Path) -> None:
    factors = {"down": draw(3, 6, 1, 1), "mid": draw(3, 3, 3, 3), "up": draw(8, 3, 1, 1)}
    arrays = {f"{KERNEL}.lora_{name}.weight": value for name, value in factors.items()}
    convert(tmp_path, arrays | {f"{KERNEL}.alpha": np.array(1.5, np.float32)})
    tensors = stored(tmp_path / "out.safetensors")
    assert tensors[f"{KERNEL}.lora_down.weight"].shape == (3, 6, 3, 3)
    doubled = {name: value.astype(np.float64) for name, value in factors.items()}
    assert close(delta(tensors, KERNEL, (8, 6, 3, 3)), 0.5 * definitions.tucker(doubled, (8, 6, 3, 3)))


def test_flat_factors_of_a_convolution_get_the_axes_of_a_kernel(tmp_path: Path) -> None:
    down, up = draw(4, 6 * 9), draw(8, 4)
    convert(tmp_path, pair(KERNEL, down, up, 4.0))
    tensors = stored(tmp_path / "out.safetensors")
    assert tensors[f"{KERNEL}.lora_down.weight"].shape == (4, 6, 3, 3)
    assert tensors[f"{KERNEL}.lora_up.weight"].shape == (8, 4, 1, 1)
    assert close(tensors[f"{KERNEL}.lora_down.weight"].reshape(4, -1), down.astype(np.float64))


@pytest.mark.parametrize(("key", "safe"), [(PROJ, SAFE_PROJ), (QUERY, QUERY)])
def test_matrices_that_are_stored_as_kernels_lose_their_axes(tmp_path: Path, key: str, safe: str) -> None:
    down, up = draw(4, 16), draw(24, 4)
    convert(tmp_path, pair(key, down.reshape(4, 16, 1, 1), up.reshape(24, 4, 1, 1)))
    tensors = stored(tmp_path / "out.safetensors")
    assert tensors[f"{safe}.lora_down.weight"].shape == (4, 16)
    assert close(delta(tensors, safe, (24, 16)), product(up, down))


@pytest.mark.parametrize("magnitude", [(24, 1), (1, 16)])
def test_a_dora_becomes_the_difference_that_it_makes(tmp_path: Path, magnitude: tuple[int, int]) -> None:
    down, up, m, weight = draw(4, 16), draw(24, 4), np.abs(draw(*magnitude)), draw(24, 16)
    convert(
        tmp_path,
        pair(PROJ, down, up, 2.0) | {f"{PROJ}.dora_scale": m},
        {"model.diffusion_model.double_blocks.0.img_attn.proj.weight": weight},
    )
    wanted = definitions.decompose(weight.astype(np.float64), 0.5 * product(up, down), m.astype(np.float64))
    assert close(stored(tmp_path / "out.safetensors")[f"{SAFE_PROJ}.diff"], wanted)


def test_a_dora_needs_the_base_model(tmp_path: Path) -> None:
    arrays = pair(PROJ, draw(4, 16), draw(24, 4)) | {f"{PROJ}.dora_scale": draw(24, 1)}
    (refusal,) = convert(tmp_path, arrays).refused
    assert (refusal.key, "--base-model" in refusal.reason) == (PROJ, True)


def test_missing_pieces_of_a_fused_layer_are_filled_with_zeros(tmp_path: Path) -> None:
    stem = "transformer.single_transformer_blocks.5"
    down, up, mlp_down, mlp_up = draw(4, 8), draw(8, 4), draw(1, 8), draw(32, 1)
    arrays = pair(f"{stem}.attn.to_q", down, up) | pair(f"{stem}.proj_mlp", mlp_down, mlp_up, 2.0)
    convert(tmp_path, arrays)
    tensors = stored(tmp_path / "out.safetensors")
    wanted = {"attn.to_q": product(up, down), "proj_mlp": 2 * product(mlp_up, mlp_down)}
    for leaf, rows in {"attn.to_q": 8, "attn.to_k": 8, "attn.to_v": 8, "proj_mlp": 32}.items():
        assert tensors[f"{stem}.{leaf}.lora_down.weight"].shape[0] >= 2
        found = delta(tensors, f"{stem}.{leaf}", (rows, 8))
        assert close(found, wanted[leaf]) if leaf in wanted else not found.any()


def test_other_kinds_of_pieces_become_one_layer(tmp_path: Path) -> None:
    stem, fused = "lycoris_transformer_blocks_0_attn_to_", "diffusion_model.double_blocks.0.img_attn.qkv"
    q, v = draw(8, 8), draw(8, 8)
    single = pair("lycoris_single_transformer_blocks_0_proj_out", draw(4, 8), draw(8, 4))
    convert(tmp_path, {f"{stem}q.diff": q, f"{stem}v.diff": v} | single)
    found = stored(tmp_path / "out.safetensors")[f"{fused}.diff"]
    assert close(found, np.concatenate([q, np.zeros((8, 8)), v]).astype(np.float64))


def test_names_that_fit_several_families_stay(tmp_path: Path) -> None:
    stem = "transformer.transformer_blocks.0"
    down, up = draw(4, 8), draw(8, 4)
    bare = pair(f"{stem}.attn.to_q", down, up) | pair(f"{stem}.ff.net.2", down, up)
    found = convert(tmp_path, bare | pair("transformer.norm_out.linear", down, up))
    tensors = stored(tmp_path / "out.safetensors")
    for leaf in ("attn.to_q", "ff.net.2"):
        assert close(delta(tensors, f"{stem}.{leaf}", (8, 8)), product(up, down))
    for leaf in ("attn.to_k", "attn.to_v"):
        assert not delta(tensors, f"{stem}.{leaf}", (8, 8)).any()
    (refusal,) = found.refused
    assert (refusal.key, "--base-model" in refusal.reason) == ("transformer.norm_out.linear", True)


def test_names_that_fit_several_families_without_a_table_of_names_are_refused(tmp_path: Path) -> None:
    key = "transformer.transformer_blocks.0.attn1.to_q"
    found = convert(tmp_path, pair(key, draw(4, 8), draw(8, 4)))
    (refusal,) = found.refused
    assert refusal.reason == "its names fit Anima and LTX: add --base-model MODEL"


def test_the_halves_of_the_last_modulation_are_exchanged(tmp_path: Path) -> None:
    down, up = draw(4, 8), draw(16, 4)
    single = pair("transformer.single_transformer_blocks.0.proj_out", draw(4, 8), draw(8, 4))
    convert(tmp_path, pair("transformer.norm_out.linear", down, up) | single)
    found = delta(
        stored(tmp_path / "out.safetensors"), "diffusion_model.final_layer.adaLN_modulation.1", (16, 8)
    )
    assert close(found, np.roll(product(up, down), 8, axis=0))


def test_the_bias_of_a_factor_becomes_a_difference(tmp_path: Path) -> None:
    down, up, bias = draw(4, 16), draw(24, 4), draw(24)
    key = "diffusion_model.double_blocks.0.img_attn.proj"
    arrays = {f"{key}.lora_A.weight": down, f"{key}.lora_B.weight": up, f"{key}.lora_B.bias": bias}
    convert(tmp_path, arrays | {f"{key}.alpha": np.array(2, np.float32)})
    tensors = stored(tmp_path / "out.safetensors")
    assert close(tensors[f"{key}.diff_b"], 0.5 * bias.astype(np.float64))
    assert close(delta(tensors, key, (24, 16)), 0.5 * product(up, down))


def test_names_of_text_encoders(tmp_path: Path) -> None:
    down, up = draw(4, 16), draw(24, 4)
    arrays = pair(f"text_encoder.{TEXT}", down, up) | pair(f"text_encoder_2.{TEXT}", down, up)
    convert(tmp_path, arrays | pair(QUERY, down, up))
    tensors = stored(tmp_path / "out.safetensors")
    for key in (f"lora_te1_{TEXT.replace('.', '_')}", f"lora_te2_{TEXT.replace('.', '_')}", QUERY):
        assert close(delta(tensors, key, (24, 16)), product(up, down))


def test_names_of_text_encoders_beside_a_transformer(tmp_path: Path) -> None:
    down, up, norm = draw(4, 16), draw(24, 4), draw(24)
    stem = "lora_te1_text_model_encoder_layers_3"
    arrays = pair(f"{stem}_mlp_fc1", down, up) | {f"{stem}_layer_norm1.w_norm": norm}
    convert(tmp_path, arrays | pair(PROJ, down, up))
    tensors = stored(tmp_path / "out.safetensors")
    own = "text_encoders.clip_l.transformer.text_model.encoder.layers.3"
    assert close(delta(tensors, f"{own}.mlp.fc1", (24, 16)), product(up, down))
    assert close(tensors[f"{own}.layer_norm1.diff"], norm.astype(np.float64))


def test_names_of_text_encoders_alone_are_those_of_the_base_model(tmp_path: Path) -> None:
    down, up = draw(4, 16), draw(24, 4)
    stem = "lora_te2_text_model_encoder_layers_3_mlp_fc1"
    alone = convert(tmp_path, pair(stem, down, up))
    assert alone.promise.endswith("it is for a model with a UNet: for another one add --base-model MODEL")
    assert f"{stem}.lora_up.weight" in stored(tmp_path / "out.safetensors")
    sd3 = {
        f"model.diffusion_model.joint_blocks.0.{x}_block.attn.proj.weight": draw(4, 4)
        for x in ("x", "context")
    }
    found = convert(tmp_path, pair(stem, down, up), sd3, "2026-07")
    assert found.promise == "without patches, 2026-07 applies this file in every mode"
    own = "text_encoders.clip_g.transformer.text_model.encoder.layers.3.mlp.fc1"
    assert f"{own}.lora_up.weight" in stored(tmp_path / "out.safetensors")


def test_the_second_clip_has_one_weight_for_q_k_and_v(tmp_path: Path) -> None:
    down, up = draw(4, 16), draw(16, 4)
    stem = "lora_te2_text_model_encoder_layers_0_self_attn_"
    convert(tmp_path, pair(f"{stem}v_proj", down, up))
    tensors = stored(tmp_path / "out.safetensors")
    assert close(delta(tensors, f"{stem}v_proj", (16, 16)), product(up, down))
    for part in "qk":
        assert not delta(tensors, f"{stem}{part}_proj", (16, 16)).any()


def test_the_fused_weights_of_the_text_encoder_of_sd2(tmp_path: Path) -> None:
    text = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"
    arrays = pair(text, draw(4, 16), draw(16, 4)) | pair(
        text.replace("q_proj", "out_proj"), draw(4, 16), draw(16, 4)
    )
    attention = QUERY.replace("attn1_to_q", "attn2_to_k")
    found = convert(tmp_path, arrays | pair(attention, draw(4, 1024), draw(16, 4)))
    assert [refusal.key for refusal in found.refused] == [text]


def test_outer_layers_of_a_unet(tmp_path: Path) -> None:
    down, up = draw(4, 4, 3, 3), draw(8, 4, 1, 1)
    time = pair("lora_unet_time_embedding_linear_1", draw(4, 16), draw(24, 4))
    found = convert(
        tmp_path, pair("lora_unet_conv_in", down, up) | time | pair(QUERY, draw(4, 8), draw(8, 4))
    )
    tensors = stored(tmp_path / "out.safetensors")
    assert close(delta(tensors, "lora_unet_input_blocks_0_0", (8, 4, 3, 3)).reshape(8, -1), product(up, down))
    (refusal,) = found.refused
    assert refusal.key == "lora_unet_time_embedding_linear_1"
    assert "time_embed of a UNet is not found" in refusal.reason


def test_norms_of_a_transformer_and_replaced_layers_are_refused(tmp_path: Path) -> None:
    norm = "transformer.transformer_blocks.0.attn.norm_q"
    arrays = {f"{norm}.diff": draw(8), "double_blocks.0.img_attn.proj.weight": draw(24, 16)}
    found = convert(tmp_path, arrays | pair("double_blocks.1.img_attn.proj", draw(4, 16), draw(24, 4)))
    reasons = {refusal.key: refusal.reason for refusal in found.refused}
    assert "Differences of norms have no effect" in reasons[norm]
    assert "sdcpp lora merge" in reasons["double_blocks.0.img_attn.proj"]


def test_types_that_are_not_read_become_f32(tmp_path: Path) -> None:
    down, up = draw(4, 16).astype(np.float64), draw(24, 4).astype(np.float64)
    convert(tmp_path, pair(PROJ, down, up))
    tensors = read_tensors(tmp_path / "out.safetensors").tensors
    assert {tensor.kind for tensor in tensors.values()} == {"F32"}


def test_a_scale_of_the_metadata_becomes_a_tensor(tmp_path: Path) -> None:
    down, up = draw(4, 16), draw(24, 4)
    save(tmp_path / "in.safetensors", pair(PROJ, down, up), metadata={"ss_network_alpha": "1"})
    rewritten(read_tensors(tmp_path / "in.safetensors"), limits("2026-05")).write(
        tmp_path / "out.safetensors"
    )
    found = delta(stored(tmp_path / "out.safetensors"), SAFE_PROJ, (24, 16))
    assert close(found, 0.25 * product(up, down))


def test_schemes_of_flux_give_the_same_change(tmp_path: Path) -> None:
    """The change is that of the independent oracle, ``harness.adapters``."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name in ("bare", "onetrainer", "diffusers-flux-qv"):
        adapter = Adapter(name="lora", base=FLUX_SMALL.name, rank=4, alpha=None, scheme=name)
        tensors = adapter.tensors(FLUX_SMALL)
        wanted = {tensor[1]: change for tensor, change in changes(FLUX_SMALL, tensors, 1.0, adapter).items()}
        convert(tmp_path, dict(tensors), revision=UNPATCHED)
        found = stored(tmp_path / "out.safetensors")
        for tensor, change in wanted.items():
            shapes[tensor] = change.shape
            assert close(_of_flux(found, tensor, change.shape), change), (name, tensor)
    assert shapes


def _of_flux(tensors: dict[str, F64], name: str, shape: tuple[int, ...]) -> F64:
    """Return the ΔW of a layer of Flux, which is stored under its published name or in pieces of diffusers."""
    layer = name.removeprefix("model.").removesuffix(".weight")
    if f"{layer}.lora_down.weight" in tensors:
        return delta(tensors, layer, shape)
    number = layer.split(".")[2]
    if "linear1" in layer:
        stem = f"transformer.single_transformer_blocks.{number}"
        leaves = {"attn.to_q": shape[1], "attn.to_k": shape[1], "attn.to_v": shape[1]}
        leaves["proj_mlp"] = shape[0] - 3 * shape[1]
    else:
        stem = f"transformer.transformer_blocks.{number}"
        names = ("add_q_proj", "add_k_proj", "add_v_proj") if "txt" in layer else ("to_q", "to_k", "to_v")
        leaves = {f"attn.{leaf}": shape[1] for leaf in names}
    return np.concatenate([delta(tensors, f"{stem}.{leaf}", (n, shape[1])) for leaf, n in leaves.items()])


def test_modules_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    stem = "transformer.transformer_blocks.0.attn"
    arrays = pair(f"{stem}.to_q", draw(1, 8), draw(8, 1)) | pair(f"{stem}.to_v", draw(1, 8), draw(16, 1))
    found = convert(tmp_path, arrays | pair(PROJ, draw(4, 16), draw(24, 4)))
    assert [refusal.key for refusal in found.refused] == [f"{stem}.to_q", f"{stem}.to_v"]
    assert set(stored(tmp_path / "out.safetensors")) == {
        f"{SAFE_PROJ}{end}" for end in (".lora_down.weight", ".lora_up.weight", ".alpha")
    }
