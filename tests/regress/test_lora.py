"""Converted files through really built libraries, and the library's own quantisers."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import quants

from harness.adapters.adapter import Adapter
from harness.adapters.adapter_file import AdapterFile
from harness.cases.build_under_test import BuildUnderTest
from harness.converter import picture_loss
from harness.converter.compare import compare
from harness.converter.convert import convert, write
from harness.converter.plan import plan
from harness.formats.read import read_tensors
from harness.formats.write import Spec, write_arrays, write_container
from harness.judging import oracle
from harness.models.tiny_models import FLUX_THIN, SD1_THIN
from harness.quantising.library_quantiser import LibraryQuantiser
from harness.quantising.package_quantiser import PackageQuantiser
from harness.quantising.type_info import TypeInfo
from harness.studies.conversion import peers, sample_adapter
from harness.studies.conversion.peer import CONVERTERS
from harness.training.converted_values import Factor, converted_values
from sdcpp.errors import FileInvalid, LibraryUnusable, TypeUnavailable
from tests.regress.conftest import PATIENT

pytestmark = PATIENT

VALUES = np.random.default_rng(6).standard_normal((64, 512)).astype(np.float32)


@pytest.fixture(scope="module")
def library(builds_under_test: list[BuildUnderTest]) -> Path:
    """A library that takes quantised adapters."""
    return next(c.build.folder for c in builds_under_test if c.side.label == "2026-05 pristine")


@pytest.fixture(scope="module")
def quantiser(library: Path) -> Iterator[LibraryQuantiser]:
    with LibraryQuantiser(library) as made:
        yield made


def test_the_types_are_those_of_the_librarys_ggml(quantiser: LibraryQuantiser) -> None:
    types = quantiser.types()
    assert {"Q4_0", "Q8_0", "Q4_K", "IQ2_XXS", "IQ4_NL", "TQ1_0", "MXFP4"} <= set(types)
    assert not {"Q8_1", "Q8_K", "F16"} & set(types)
    assert types["IQ2_XXS"].needs_imatrix
    for name, info in types.items():
        if name in gguf.GGMLQuantizationType.__members__:
            assert (info.block, info.bytes) == gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]


@pytest.mark.parametrize("name", PackageQuantiser.NAMES)
def test_gguf_makes_the_same_blocks_to_the_bit(quantiser: LibraryQuantiser, name: str) -> None:
    assert np.array_equal(quantiser.quantise(VALUES, name), PackageQuantiser().quantise(VALUES, name))


def test_gguf_decodes_the_same_values_to_the_bit(quantiser: LibraryQuantiser) -> None:
    for name in quantiser.types():
        raw = quantiser.quantise(VALUES[:2], name)
        wanted = quants.dequantize(raw, gguf.GGMLQuantizationType[name])
        assert np.array_equal(quantiser.dequantise(raw, name), wanted), name


def test_training_sees_the_values_of_the_converted_file_to_the_bit(
    quantiser: LibraryQuantiser, tmp_path: Path
) -> None:
    generator, factors, source = np.random.default_rng(8), [], tmp_path / "a.safetensors"
    for module, inner, out in (("a", 256, 16), ("b", 256, 8)):
        for part, shape in (("down", (256, inner)), ("up", (out, 256))):
            values = (generator.standard_normal(shape) * generator.random((shape[0], 1))).astype(np.float32)
            name = f"lora_unet_{module}.lora_{part}.weight"
            factors.append(Factor(name=name, shape=shape, kind="F32", content=values))
    write_arrays(source, "safetensors", {factor.name: factor.content for factor in factors})
    for name in quantiser.types():
        convert(source, tmp_path / "a.gguf", [name], quantiser)
        stored = read_tensors(tmp_path / "a.gguf").tensors
        for factor, found in converted_values(factors, [name], quantiser).items():
            assert found.kind == stored[factor].kind == name
            wanted = stored[factor].values()
            assert np.array_equal(found.values.view(np.uint32), wanted.view(np.uint32)), name


def test_the_nearer_rounding_is_kept(quantiser: LibraryQuantiser) -> None:
    for name in ("Q4_0", "Q5_1", "Q4_K"):
        kept = np.square(quantiser.dequantise(quantiser.nearest(VALUES, name), name) - VALUES).sum(axis=1)
        for weights in (None, np.ones(512)):
            raw = quantiser.quantise(VALUES, name, weights)
            assert np.all(kept <= np.square(quantiser.dequantise(raw, name) - VALUES).sum(axis=1) + 1e-9)


def test_tensors_go_from_file_to_file_as_the_same_blocks(quantiser: LibraryQuantiser, tmp_path: Path) -> None:
    # All finite numbers that F16 has, and rows for more than one chunk of the child's.
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "F16": np.tile(halves[np.isfinite(halves)], 8).reshape(-1, 256),
        "F32": VALUES,
        "BF16": (VALUES.view(np.uint32) >> 16).astype(np.uint16),
        "F64": VALUES.astype(np.float64),
    }
    source, target = tmp_path / "a.safetensors", tmp_path / "a.gguf"
    specs = [Spec(name=kind, shape=array.shape, kind=kind) for kind, array in arrays.items()]
    write_container(
        source, "safetensors", specs, {}, lambda s, _: [arrays[s.name].reshape(-1).view(np.uint8)]
    )
    tensors = read_tensors(source).tensors
    for kind in ("Q8_0", "Q4_0"):
        convert(source, target, [kind], quantiser, force=True)
        for name, tensor in read_tensors(target).tensors.items():
            wanted = quantiser.nearest(tensors[name].values().reshape(-1, tensor.row), kind)
            assert np.array_equal(tensor.raw(), wanted.reshape(-1)), name
    # Blocks of one type as the source of another.
    convert(target, tmp_path / "b.gguf", ["Q8_0"], quantiser, force=True)
    for name, tensor in read_tensors(tmp_path / "b.gguf").tensors.items():
        wanted = quantiser.nearest(
            read_tensors(target).tensors[name].values().reshape(-1, tensor.row), "Q8_0"
        )
        assert np.array_equal(tensor.raw(), wanted.reshape(-1)), name


def test_what_the_child_cannot_read_or_write_is_told(quantiser: LibraryQuantiser, tmp_path: Path) -> None:
    source, target = tmp_path / "a.safetensors", tmp_path / "a.gguf"
    values = VALUES.copy()
    values[40, 3] = np.nan
    for array, words in ((values, "nan in row 40, column 3, at byte"), (VALUES, "the file ends inside it")):
        spec = Spec(name="x", shape=array.shape, kind="F32")
        write_container(source, "safetensors", [spec], {}, lambda *_, a=array: [a.reshape(-1).view(np.uint8)])
        tensor = read_tensors(source).tensors["x"]
        if "ends" in words:
            os.truncate(source, source.stat().st_size - 1)
        with pytest.raises(FileInvalid, match=words):
            write(
                target,
                "gguf",
                plan([tensor], "gguf", ["Q8_0"], quantiser.types()),
                {},
                quantiser,
                inputs=[source],
            )
        assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]
    write_container(source, "safetensors", [spec], {}, lambda *_: [VALUES.reshape(-1).view(np.uint8)])
    target.touch()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    with LibraryQuantiser(quantiser.folder) as limited:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 14, old[1]))
        try:
            limited.types()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
        with pytest.raises(OSError, match="File too large"), limited.into(target) as take:
            take(tensor, "Q8_0", 1 << 14)


def test_files_of_one_converter_in_the_other(builds_under_test: list[BuildUnderTest], tmp_path: Path) -> None:
    """Ours, upstream's and the gguf package's; immediately, which takes the patches for blocks."""
    folder = next(c.build.folder for c in builds_under_test if c.side.label == "2026-05 patched")
    source = tmp_path / "a.safetensors"
    sample_adapter.write(source, sample_adapter.for_base(FLUX_THIN, 32, 4.0), "F16")
    paths = {
        name: peers.measure(name, folder, source, tmp_path / f"{name}.gguf", "Q8_0").path
        for name in CONVERTERS
    }
    raw = {
        who: {n: t.raw().tobytes() for n, t in read_tensors(path).tensors.items()}
        for who, path in paths.items()
    }
    assert len(raw["ours"]) == 18
    for exchange in peers.exchanges(folder, FLUX_THIN, source, paths):
        assert exchange.equal_tensors == exchange.tensors == 18
        assert exchange.against_values.error == 0
        assert exchange.against_ours.error is not None
        assert (exchange.against_ours.error == 0) == (raw[exchange.converter] == raw["ours"])
        assert exchange.loss.error is not None
        assert 0 < exchange.loss.error < 0.05


def test_after_a_crash_of_the_library_another_child_is_started(quantiser: LibraryQuantiser) -> None:
    good = quantiser.types()["Q4_0"]
    # No number of a type that can be made: ggml asserts.
    dead = replace(good, name="DEAD", number=9, block=32, bytes=36)

    class WithDeadType(LibraryQuantiser):
        def info(self, name: str) -> TypeInfo:
            return dead if name == "DEAD" else super().info(name)

    with WithDeadType(quantiser.folder) as mortal:
        with pytest.raises(LibraryUnusable, match="crashed while quantising"):
            mortal.quantise(VALUES, "DEAD")
        assert mortal.quantise(VALUES, "Q4_0").shape == (64, 288)
    with pytest.raises(TypeUnavailable, match="whole blocks"):
        quantiser.quantise(VALUES[:, :20], "Q4_0")


LAYOUTS = {
    "kohya SD1 with text encoder": (SD1_THIN, {"targets": ("linear", "text"), "rank": 32}),
    "PEFT flux with split qkv": (FLUX_THIN, {"scheme": "diffusers-flux", "rank": 32}),
    "LyCORIS LoKr": (FLUX_THIN, {"kind": "lokr", "scheme": "lycoris", "rank": 4}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_real_layouts_there_and_back_and_through_the_library(
    library: Path, quantiser: LibraryQuantiser, tmp_path: Path, layout: str
) -> None:
    base, options = LAYOUTS[layout]
    adapter = Adapter(name=f"converted-{len(layout)}", base=base.name, **options)  # type: ignore[arg-type]
    source = AdapterFile(base=base, adapter=adapter, container="safetensors", kind="F16").make()
    convert(source, tmp_path / "f16.gguf")
    convert(tmp_path / "f16.gguf", tmp_path / "back.safetensors")
    a, b = read_tensors(source).tensors, read_tensors(tmp_path / "back.safetensors").tensors
    assert list(a) == list(b)
    assert all(np.array_equal(a[n].raw(), b[n].raw()) and a[n].shape == b[n].shape for n in a)
    convert(source, tmp_path / "q8.gguf", ["Q8_0"], quantiser)
    convert(tmp_path / "q8.gguf", tmp_path / "q8.safetensors")
    same = [tmp_path / "f16.gguf", tmp_path / "back.safetensors"]
    merged = picture_loss.effects(library, base, source, same, "immediately")
    made = picture_loss.pictures(
        library, base, [source, *same, tmp_path / "q8.safetensors", tmp_path / "q8.gguf"], "at_runtime"
    )
    assert [e.error for e in (*merged, *made.effects(source, same))] == [0, 0, 0, 0]
    [effect] = made.effects(tmp_path / "q8.safetensors", [tmp_path / "q8.gguf"])
    assert effect.error is not None
    assert effect.error < 0.08


def test_less_loss_at_the_same_size_is_seen_in_pictures(
    library: Path, quantiser: LibraryQuantiser, tmp_path: Path
) -> None:
    source = tmp_path / "a.safetensors"
    sample_adapter.write(source, sample_adapter.for_base(FLUX_THIN, 32, 4.0), "F32")
    plain = convert(source, tmp_path / "plain.gguf", ["Q4_0"], quantiser)
    better = convert(source, tmp_path / "better.gguf", ["Q4_0"], quantiser, rebalance=True)
    assert plain.after == better.after
    files = [tmp_path / "plain.gguf", tmp_path / "better.gguf"]
    losses = [compare(source, path).relative for path in files]
    assert losses[1] < 0.6 * losses[0]
    first, second = (e.error for e in picture_loss.effects(library, FLUX_THIN, source, files))
    assert first is not None
    assert second is not None
    assert second < 0.8 * first
    assert oracle.NO_EFFECT < first < 1
