"""Converting, comparing, choosing and merging, with the gguf package's quantisers: no library is loaded."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.cli.main import main
from harness.converter import plot, type_choice, weight_change
from harness.converter.base_weights import BaseWeights
from harness.converter.compare import compare
from harness.converter.convert import convert
from harness.converter.inspect import inspect
from harness.converter.merge_into_base import WeightedAdapter, merge, parse_adapter_argument
from harness.converter.modules import layout, scheme, split
from harness.formats import gguf_types
from harness.formats.read import read_tensors
from harness.formats.tensor import TensorHeader
from harness.formats.write import Spec, container_of, write_container
from harness.quantising.package_quantiser import PackageQuantiser
from harness.studies.conversion import sample_adapter
from sdcpp.errors import AdapterUnknown, Error, FileInvalid, LossUnreachable, OutputRefused, TypeUnavailable
from tests.unit.fake_models import BASE

Arrays = dict[str, np.ndarray[Any, Any]]
KEY = "lora_unet_block_proj"
METADATA = {
    "ss_tag": TensorHeader(type="STRING", value="a lighthouse"),
    "modelspec.license": TensorHeader(type="STRING", value="MIT"),
}


def save(path: Path, arrays: Arrays, kinds: dict[str, str] | None = None) -> Path:
    kinds = kinds or {}
    names = {"float32": "F32", "float16": "F16", "uint16": "BF16", "float64": "F64"}
    specs = [Spec(name=n, shape=a.shape, kind=kinds.get(n, names[a.dtype.name])) for n, a in arrays.items()]
    write_container(
        path,
        container_of(path),
        specs,
        METADATA,
        lambda s, _at: [arrays[s.name].reshape(-1).view(np.uint8)],
    )
    return path


def pair(rank: int = 32, out: int = 64, inner: int = 96, seed: int = 1, key: str = KEY) -> Arrays:
    up, down = sample_adapter.factors(out, inner, rank, 3.0, 1.0, (seed,))
    return {
        f"{key}.lora_down.weight": down,
        f"{key}.lora_up.weight": up,
        f"{key}.alpha": np.array(rank / 2, np.float32),
    }


@pytest.mark.parametrize("kind", ["float32", "float16", "uint16"])
def test_floats_go_round_to_the_bit(tmp_path: Path, kind: str) -> None:
    # Any finite bit pattern, subnormal ones among them: the exponent's highest bit is left out.
    width = np.dtype(kind).itemsize
    raw = np.random.default_rng(2).integers(0, 256, (32, 64 * width), dtype=np.uint8)
    raw[:, width - 1 :: width] &= 0xBF
    values = raw.view(kind)
    arrays: Arrays = {f"{KEY}.lora_down.weight": values, f"{KEY}.lora_up.weight": values.T.copy()}
    first = save(tmp_path / "a.safetensors", arrays)
    for source, target in (("a.safetensors", "b.gguf"), ("b.gguf", "c.ckpt"), ("c.ckpt", "d.safetensors")):
        convert(tmp_path / source, tmp_path / target)
    assert (tmp_path / "d.safetensors").read_bytes() == first.read_bytes()


def test_a_quantised_file_becomes_exactly_its_values(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", pair())
    convert(tmp_path / "a.safetensors", tmp_path / "b.gguf", ["Q4_0"], PackageQuantiser())
    convert(tmp_path / "b.gguf", tmp_path / "c.safetensors")
    wanted = gguf_types.read(tmp_path / "b.gguf")
    found = read_tensors(tmp_path / "c.safetensors").tensors
    assert {t.kind for t in found.values()} == {"F32"}
    for name, values in wanted.items():
        assert np.array_equal(found[name].values().reshape(values.shape), values)


def test_the_rules_of_mixed_files(tmp_path: Path) -> None:
    arrays = (
        pair() | pair(rank=8, key="lora_unet_block_out", inner=40) | {"x.diff_b": np.ones(64, np.float32)}
    )
    save(tmp_path / "a.safetensors", arrays)
    done = convert(tmp_path / "a.safetensors", tmp_path / "b.gguf", ["Q8_0"], PackageQuantiser())
    told = {f.tensor.name.removeprefix("lora_unet_"): (f.kind, f.why) for f in done.fates}
    assert told["block_proj.lora_down.weight"] == ("Q8_0", "as asked")
    assert told["block_out.lora_up.weight"] == ("F16", "rows of 8 are not whole blocks of 32 (Q8_0)")
    assert told["block_out.lora_down.weight"] == ("F16", "rows of 40 are not whole blocks of 32 (Q8_0)")
    assert told["block_proj.alpha"] == ("F32", "scalars are never quantised")
    assert told["x.diff_b"] == ("F16", "vectors are never quantised")
    assert {n: t.kind for n, t in read_tensors(tmp_path / "b.gguf").tensors.items()} == {
        f.tensor.name: f.kind for f in done.fates
    }
    assert 8.5 < done.bits < 16


def test_what_f16_cannot_hold_stays_f32(tmp_path: Path) -> None:
    arrays = pair()
    arrays[f"{KEY}.lora_up.weight"][3, 3] = 1e5
    save(tmp_path / "a.safetensors", arrays)
    done = convert(tmp_path / "a.safetensors", tmp_path / "b.gguf", ["F16"])
    told = {f.tensor.name: f.why for f in done.fates if f.kind == "F32"}
    assert told[f"{KEY}.lora_up.weight"] == "values beyond the range of F16"


def test_metadata_survives_both_ways_and_gguf_gets_its_own(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", pair())
    convert(tmp_path / "a.safetensors", tmp_path / "b.gguf", ["Q8_0"], PackageQuantiser())
    convert(tmp_path / "b.gguf", tmp_path / "c.safetensors")
    there = read_tensors(tmp_path / "b.gguf").metadata
    assert there["general.license"].value == "MIT"
    assert there["general.type"].value == "adapter"
    assert read_tensors(tmp_path / "c.safetensors").metadata == METADATA


# --- refused, and nothing left behind ---


def refused(kind: type[Error], tmp_path: Path, match: str, *arguments: Any, **options: Any) -> None:
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    with pytest.raises(kind, match=match) as caught:
        convert(*arguments, **options)
    assert "\n" not in str(caught.value)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before


def test_output_that_is_the_input(tmp_path: Path) -> None:
    path = save(tmp_path / "a.gguf", pair())
    (tmp_path / "link.gguf").hardlink_to(path)
    refused(OutputRefused, tmp_path, "the output is the input", path, path)
    refused(OutputRefused, tmp_path, "the output is the input", path, tmp_path / "link.gguf")


def test_types_that_are_unknown_or_cannot_be_made(tmp_path: Path) -> None:
    path = save(tmp_path / "a.safetensors", pair())
    refused(TypeUnavailable, tmp_path, "Q9_Z", path, tmp_path / "b.gguf", ["Q9_Z"], PackageQuantiser())
    refused(TypeUnavailable, tmp_path, "IQ2_XXS", path, tmp_path / "b.gguf", ["IQ2_XXS"], PackageQuantiser())
    refused(
        TypeUnavailable,
        tmp_path,
        "safetensors",
        path,
        tmp_path / "b.safetensors",
        ["Q8_0"],
        PackageQuantiser(),
    )


@pytest.mark.parametrize("kinds", [[], ["Q8_0"], ["F16"]])
def test_nan_is_told_by_tensor_row_and_byte(tmp_path: Path, kinds: list[str]) -> None:
    arrays = pair()
    arrays[f"{KEY}.lora_down.weight"][2, 5] = np.nan
    path = save(tmp_path / "a.safetensors", arrays)
    tensor = read_tensors(path).tensors[f"{KEY}.lora_down.weight"]
    place = tensor.offset + 4 * (2 * 96 + 5)
    match = f"lora_down.weight: nan in row 2, column 5, at byte {place}"
    refused(FileInvalid, tmp_path, match, path, tmp_path / "b.gguf", kinds, PackageQuantiser())
    convert(path, tmp_path / "c.gguf", anyway=True)
    assert [c for c in inspect(path).complaints if "1 NaN" in c]


def test_adapters_that_cannot_work(tmp_path: Path) -> None:
    whole = pair()
    lacking = {n: a for n, a in whole.items() if "lora_up" not in n}
    path = save(tmp_path / "a.safetensors", lacking)
    refused(AdapterUnknown, tmp_path, f"{KEY} lacks up", path, tmp_path / "b.gguf")
    narrow = whole | {f"{KEY}.lora_up.weight": np.ones((64, 16), np.float32)}
    path = save(tmp_path / "a.safetensors", narrow)
    refused(AdapterUnknown, tmp_path, "cannot be multiplied", path, tmp_path / "b.gguf")
    path = save(tmp_path / "a.safetensors", {"w": np.ones((4, 4), np.float32)})
    refused(AdapterUnknown, tmp_path, "no tensor of an adapter", path, tmp_path / "b.gguf")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    path = save(tmp_path / "a.safetensors", pair())
    (tmp_path / "locked").mkdir(mode=0o500)
    refused(OutputRefused, tmp_path, "Permission denied", path, tmp_path / "locked" / "b.gguf")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    path = save(tmp_path / "a.safetensors", pair())
    refused(OutputRefused, tmp_path, "does its folder exist", path, tmp_path / "none" / "b.gguf")


def test_a_full_disk_leaves_the_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.safetensors", pair())
    (tmp_path / "b.gguf").write_bytes(b"older")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("harness.formats.write._pour", full)
    refused(OutputRefused, tmp_path, "No space left on device", path, tmp_path / "b.gguf")


def test_memory_stays_near_the_largest_tensor(tmp_path: Path) -> None:
    # 48 MB in tensors of 2 MB, converted in a process of its own; the first, small one tells what Python takes.
    code = (
        "import resource, sys; from pathlib import Path; from harness.converter.convert import convert;"
        "convert(Path(sys.argv[1]), Path(sys.argv[2]), [sys.argv[3]]);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for modules in (1, 24):
        source = tmp_path / f"{modules}.safetensors"
        up, down = np.ones((2048, 128), np.float32), np.ones((128, 2048), np.float32)
        key = "lora_unet_double_blocks_BLOCK_img_attn_proj"
        sample_adapter.write(
            source, {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up}, "F32", modules
        )
        words = [sys.executable, "-c", code, str(source), str(tmp_path / "out.gguf"), "F16"]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout) * (1 if sys.platform == "darwin" else 1024))
    assert peaks[1] - peaks[0] < 16e6
    assert resource.getpagesize()


# --- what the tensors mean ---


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("lora_unet_x.lora_down.weight", ("lora_unet_x", "down")),
        ("unet.a.to_q_lora.up.weight", ("unet.a.to_q", "up")),
        ("transformer.a.to_q.lora_A.default.weight", ("transformer.a.to_q", "down")),
        ("a.processor.to_q_lora.down.weight", ("a.processor.to_q", "down")),
        ("x.lokr_w2_b", ("x", "lokr_w2_b")),
        ("bundle_emb.x", None),
    ],
)
def test_names_of_all_schemes(name: str, wanted: tuple[str, str] | None) -> None:
    assert split(name) == wanted


def test_schemes_are_told() -> None:
    assert scheme(["lora_te_x.alpha", "lora_unet_y.alpha"]) == "kohya"
    assert scheme(["unet.y.lora_A.weight"]) == "peft"
    assert scheme(["lycoris_x.lokr_w1"]) == "lycoris"


def dense(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    found = {}
    for key, module in layout(read_tensors(path).tensors.values()).modules.items():
        change = weight_change.weight_change(module)
        found[key] = weight_change.rows(change, 0, change.shape[0])
    return found


def test_kinds_by_their_definitions(tmp_path: Path) -> None:
    draw = np.random.default_rng(4)

    def random(*shape: int) -> np.ndarray[Any, Any]:
        return draw.standard_normal(shape).astype(np.float32)

    half = np.array(2.0, np.float32)
    arrays: Arrays = {
        "a.hada_w1_a": random(6, 4), "a.hada_w1_b": random(4, 10),
        "a.hada_w2_a": random(6, 4), "a.hada_w2_b": random(4, 10), "a.alpha": half,
        "b.lokr_w1": random(3, 2), "b.lokr_w2_a": random(4, 4), "b.lokr_w2_b": random(4, 5), "b.alpha": half,
        "c.lora_up.weight": random(6, 4, 1, 1), "c.lora_mid.weight": random(4, 4, 3, 3),
        "c.lora_down.weight": random(4, 5, 1, 1), "c.alpha": half,
        "d.diff": random(4, 5),
    }  # fmt: skip
    found = dense(save(tmp_path / "a.safetensors", arrays))
    wide = {name: array.astype(np.float64) for name, array in arrays.items()}
    loha = (wide["a.hada_w1_a"] @ wide["a.hada_w1_b"]) * (wide["a.hada_w2_a"] @ wide["a.hada_w2_b"]) / 2
    assert np.allclose(found["a"], loha)
    assert np.allclose(found["b"], np.kron(wide["b.lokr_w1"], wide["b.lokr_w2_a"] @ wide["b.lokr_w2_b"]) / 2)
    up, down = wide["c.lora_up.weight"][:, :, 0, 0], wide["c.lora_down.weight"][:, :, 0, 0]
    tucker = np.einsum("om,mnkl,ni->oikl", up, wide["c.lora_mid.weight"], down) / 2
    assert np.allclose(found["c"], tucker.reshape(6, -1))
    assert np.allclose(found["d"], wide["d.diff"])


def test_distances_without_forming_the_change(tmp_path: Path) -> None:
    one, two = pair(seed=1), pair(rank=16, seed=2)
    a, b = save(tmp_path / "a.safetensors", one), save(tmp_path / "b.safetensors", two)
    wanted = np.linalg.norm(dense(a)[KEY] - dense(b)[KEY]) / np.linalg.norm(dense(a)[KEY])
    assert compare(a, b).relative == pytest.approx(wanted, rel=1e-9)
    assert compare(a, a).relative == 0
    convert(a, tmp_path / "c.gguf", ["F16"])
    near = np.linalg.norm(dense(a)[KEY] - dense(tmp_path / "c.gguf")[KEY]) / np.linalg.norm(dense(a)[KEY])
    assert compare(a, tmp_path / "c.gguf").relative == pytest.approx(near, rel=1e-6)


def test_a_comparison_is_told_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


# --- bounds, factors, merging ---


def test_the_bound_is_kept_and_measured(tmp_path: Path) -> None:
    a = save(tmp_path / "a.safetensors", pair(rank=64, out=128, inner=256) | pair(rank=8, key="lora_unet_y"))
    sizes = []
    for bound in (0.2, 0.05, 0.01):
        choice = type_choice.convert_within_loss(a, tmp_path / "b.gguf", bound, PackageQuantiser())
        assert choice.measured <= bound
        assert choice.measured == compare(a, tmp_path / "b.gguf").relative
        assert choice.predicted == pytest.approx(choice.measured, rel=0.1)
        sizes.append(choice.conversion.after)
    assert sizes == sorted(sizes)
    # The next smaller type for everything would break the bound.
    done = convert(a, tmp_path / "c.gguf", ["Q5_1"], PackageQuantiser())
    assert compare(a, tmp_path / "c.gguf").relative > 0.01
    assert done.after < sizes[-1]


def test_a_bound_that_nothing_keeps() -> None:
    options = {"a": [type_choice.Option(kind="Q8_0", bytes=34, error=1.0)]}
    with pytest.raises(LossUnreachable):
        type_choice.choose(options, 1.0, 0.5)


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "MXFP4"])
@pytest.mark.parametrize("rank", [32, 64])
def test_other_factors_lose_less_at_the_same_size(tmp_path: Path, kind: str, rank: int) -> None:
    a = save(tmp_path / "a.safetensors", pair(rank=rank, out=160, inner=192))
    plain = convert(a, tmp_path / "b.gguf", [kind], PackageQuantiser())
    better = convert(a, tmp_path / "c.gguf", [kind], PackageQuantiser(), rebalance=True)
    assert plain.after == better.after
    losses = [compare(a, tmp_path / name).relative for name in ("b.gguf", "c.gguf")]
    assert losses[1] < 0.75 * losses[0]


def test_a_padded_rank_keeps_its_scale(tmp_path: Path) -> None:
    a = save(tmp_path / "a.safetensors", pair(rank=20))
    convert(a, tmp_path / "b.gguf", ["Q8_0"], PackageQuantiser(), rebalance=True, pad=True)
    tensors = read_tensors(tmp_path / "b.gguf").tensors
    assert tensors[f"{KEY}.lora_up.weight"].shape == (64, 32)
    assert tensors[f"{KEY}.lora_up.weight"].kind == "Q8_0"
    assert tensors[f"{KEY}.alpha"].values().item() == 16
    assert compare(a, tmp_path / "b.gguf").relative < 0.01


def test_merging_is_the_sum(tmp_path: Path) -> None:
    weight = np.random.default_rng(5).standard_normal((64, 96)).astype(np.float32)
    bias = np.ones(64, np.float32)
    base = save(
        tmp_path / "base.safetensors",
        {"model.diffusion_model.block.proj.weight": weight, "model.diffusion_model.block.proj.bias": bias},
    )
    a = save(tmp_path / "a.safetensors", pair() | {f"{KEY}.diff_b": bias})
    merge(
        base, [WeightedAdapter(path=a, multiplier=0.5), WeightedAdapter(path=a)], tmp_path / "m.safetensors"
    )
    found = read_tensors(tmp_path / "m.safetensors").tensors
    wanted = weight + 1.5 * dense(a)[KEY]
    assert np.array_equal(
        found["model.diffusion_model.block.proj.weight"].values(), wanted.astype(np.float32)
    ) or np.allclose(found["model.diffusion_model.block.proj.weight"].values(), wanted, rtol=1e-6)
    assert np.allclose(found["model.diffusion_model.block.proj.bias"].values(), 2.5)
    merge(base, [WeightedAdapter(path=a)], tmp_path / "m.gguf", ["Q8_0"], PackageQuantiser())
    assert read_tensors(tmp_path / "m.gguf").tensors["model.diffusion_model.block.proj.weight"].kind == "Q8_0"
    with pytest.raises(AdapterUnknown, match="no place for lora_unet_other"):
        merge(
            base,
            [WeightedAdapter(path=save(tmp_path / "o.safetensors", pair(key="lora_unet_other")))],
            tmp_path / "x.gguf",
        )
    assert not (tmp_path / "x.gguf").exists()


def test_doses() -> None:
    assert parse_adapter_argument("a.gguf@0.5") == WeightedAdapter(path=Path("a.gguf"), multiplier=0.5)
    assert parse_adapter_argument("a@b.gguf") == WeightedAdapter(path=Path("a@b.gguf"))


def test_places_of_all_schemes() -> None:
    names = [
        "model.diffusion_model.double_blocks.1.img_attn.qkv.weight",
        "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_q.weight",
        "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight",
    ]
    places = BaseWeights(names)
    place = places.find("transformer.transformer_blocks.1.attn.to_k")
    assert place is not None
    assert place.rows((768, 256)) == (256, 512)
    for key, name in (
        ("lora_unet_double_blocks_1_img_attn_qkv", names[0]),
        ("lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q", names[1]),
        ("unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q", names[1]),
        ("lora_te_text_model_encoder_layers_0_mlp_fc1", names[2]),
    ):
        found = places.find(key)
        assert found is not None, key
        assert found.name == name
    assert places.find("lora_unet_nowhere") is None


def test_inspecting_against_a_base(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = pair(inner=32) | pair(key="lora_unet_block_out") | pair(key="lora_unet_other")
    path = save(tmp_path / "a.safetensors", arrays)
    base = tmp_path / "base.safetensors"
    save(base, {n: np.zeros(w.shape, np.float32) for n, w in BASE.files["model"].items()})
    assert main(["lora", "inspect", str(path), "--base", str(base), "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["scheme"] == "kohya"
    assert data["groups"][0]["rank"] == 32
    assert data["complaints"] == [
        "lora_unet_block_out changes [64, 96], the base has [32, 64] at block.out.weight",
        "the base has no place for lora_unet_other",
    ]


def test_converting_for_a_base_that_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(tmp_path / "a.safetensors", pair(inner=48) | pair(key="lora_unet_other"))
    base = save(tmp_path / "base.safetensors", {"block.proj.weight": np.zeros((64, 32), np.float32)})
    assert main(["lora", "convert", str(path), str(tmp_path / "b.gguf"), "--base", str(base)]) == 56
    said = capsys.readouterr().err
    assert "changes [64, 48], the base has [64, 32] at block.proj.weight (and 1 more)" in said
    assert not (tmp_path / "b.gguf").exists()


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], cache_folder: Path) -> None:
    assert not cache_folder.exists()
    a = save(tmp_path / "a.safetensors", pair())
    assert main(["lora", "convert", str(a), str(tmp_path / "b.gguf"), "--type", "q8_0", "--verbose"]) == 0
    said = capsys.readouterr().out
    assert "F32 -> Q8_0" in said
    assert "bits a weight" in said
    assert main(["lora", "convert", str(a), str(tmp_path / "b.gguf"), "--max-loss", "5%"]) == 0
    assert "allowed 5.000%" in capsys.readouterr().out
    assert main(["lora", "convert", str(a), str(tmp_path / "c.gguf"), "--type", "IQ3_S"]) == 52
    assert main(["lora", "convert", str(a), str(a)]) == 53
    assert main(["lora", "inspect", str(tmp_path / "none.gguf")]) == 51
    assert main(["lora", "inspect", str(tmp_path / "b.gguf")]) == 0


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_reader_that_has_seen_enough_leaves_no_traceback(tmp_path: Path, form: list[str]) -> None:
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
    assert (done.returncode, done.stderr) == (1, "")
