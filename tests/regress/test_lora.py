"""Converted files through really built libraries, and the library's own quantisers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import quants

from harness import oracle
from harness.adapter import Adapter
from harness.bases import FLUX_SMALL, SD1_TINY
from harness.files import AdapterFile
from harness.formats import reader
from harness.lora import pictures, sample
from harness.lora.compare import compare
from harness.lora.convert import convert
from harness.lora.maker import Reference
from harness.quantiser import Quantiser
from harness.verify import Contender
from sdcpp.errors import LibraryUnusable, TypeUnavailable
from tests.regress.conftest import PATIENT

pytestmark = PATIENT

VALUES = np.random.default_rng(6).standard_normal((64, 512)).astype(np.float32)


@pytest.fixture(scope="module")
def library(contenders: list[Contender]) -> Path:
    """A library that takes quantised adapters."""
    return next(c.build.folder for c in contenders if c.side.label == "2026-05 pristine")


@pytest.fixture(scope="module")
def quantiser(library: Path) -> Iterator[Quantiser]:
    with Quantiser(library) as made:
        yield made


def test_the_types_are_those_of_the_librarys_ggml(quantiser: Quantiser) -> None:
    types = quantiser.types()
    assert {"Q4_0", "Q8_0", "Q4_K", "IQ2_XXS", "IQ4_NL", "TQ1_0", "MXFP4"} <= set(types)
    assert not {"Q8_1", "Q8_K", "F16"} & set(types)
    assert types["IQ2_XXS"].needs_imatrix
    for name, info in types.items():
        if name in gguf.GGMLQuantizationType.__members__:
            assert (info.block, info.bytes) == gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]


@pytest.mark.parametrize("name", Reference.NAMES)
def test_gguf_makes_the_same_blocks_to_the_bit(quantiser: Quantiser, name: str) -> None:
    assert np.array_equal(quantiser.quantise(VALUES, name), Reference().quantise(VALUES, name))


def test_gguf_decodes_the_same_values_to_the_bit(quantiser: Quantiser) -> None:
    for name in quantiser.types():
        raw = quantiser.quantise(VALUES[:2], name)
        wanted = quants.dequantize(raw, gguf.GGMLQuantizationType[name])
        assert np.array_equal(quantiser.dequantise(raw, name), wanted), name


def test_the_nearer_rounding_is_kept(quantiser: Quantiser) -> None:
    for name in ("Q4_0", "Q5_1", "Q4_K"):
        kept = np.square(quantiser.dequantise(quantiser.nearest(VALUES, name), name) - VALUES).sum(axis=1)
        for weights in (None, np.ones(512)):
            raw = quantiser.quantise(VALUES, name, weights)
            assert np.all(kept <= np.square(quantiser.dequantise(raw, name) - VALUES).sum(axis=1) + 1e-9)


def test_a_library_that_dies_is_told_and_another_is_started(quantiser: Quantiser) -> None:
    good = quantiser.types()["Q4_0"]
    # No number of a type that can be made: ggml asserts.
    quantiser._types["DEAD"] = type(good)(name="DEAD", number=9, block=32, bytes=36, needs_imatrix=False)
    with pytest.raises(LibraryUnusable, match="died quantising"):
        quantiser.quantise(VALUES, "DEAD")
    assert quantiser.quantise(VALUES, "Q4_0").shape == (64, 288)
    with pytest.raises(TypeUnavailable, match="whole blocks"):
        quantiser.quantise(VALUES[:, :20], "Q4_0")


LAYOUTS = {
    "kohya SD1 with text encoder": (SD1_TINY, {"targets": ("linear", "text"), "rank": 32}),
    "PEFT flux with split qkv": (FLUX_SMALL, {"scheme": "diffusers-flux", "rank": 32}),
    "LyCORIS LoKr": (FLUX_SMALL, {"kind": "lokr", "scheme": "lycoris", "rank": 4}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_real_layouts_there_and_back_and_through_the_library(
    library: Path, quantiser: Quantiser, tmp_path: Path, layout: str
) -> None:
    base, options = LAYOUTS[layout]
    adapter = Adapter(name=f"converted-{len(layout)}", base=base.name, **options)  # type: ignore[arg-type]
    source = AdapterFile(base=base, adapter=adapter, container="safetensors", kind="F16").make()
    convert(source, tmp_path / "f16.gguf")
    convert(tmp_path / "f16.gguf", tmp_path / "back.safetensors")
    a, b = reader.read(source).tensors, reader.read(tmp_path / "back.safetensors").tensors
    assert list(a) == list(b)
    assert all(np.array_equal(a[n].raw(), b[n].raw()) and a[n].shape == b[n].shape for n in a)
    convert(source, tmp_path / "q8.gguf", ["Q8_0"], quantiser)
    convert(tmp_path / "q8.gguf", tmp_path / "q8.safetensors")
    for mode in ("at_runtime", "immediately"):
        files = [tmp_path / "f16.gguf", tmp_path / "back.safetensors"]
        assert [e.error for e in pictures.effects(library, base, source, files, mode)] == [0, 0]
    [effect] = pictures.effects(library, base, tmp_path / "q8.safetensors", [tmp_path / "q8.gguf"])
    assert effect.error is not None
    assert effect.error < 0.08


def test_less_loss_at_the_same_size_is_seen_in_pictures(
    library: Path, quantiser: Quantiser, tmp_path: Path
) -> None:
    source = tmp_path / "a.safetensors"
    sample.write(source, sample.for_base(FLUX_SMALL, 32, 4.0), "F32")
    plain = convert(source, tmp_path / "plain.gguf", ["Q4_0"], quantiser)
    better = convert(source, tmp_path / "better.gguf", ["Q4_0"], quantiser, rebalance=True)
    assert plain.after == better.after
    files = [tmp_path / "plain.gguf", tmp_path / "better.gguf"]
    losses = [compare(source, path).relative for path in files]
    assert losses[1] < 0.6 * losses[0]
    first, second = (e.error for e in pictures.effects(library, FLUX_SMALL, source, files))
    assert first is not None
    assert second is not None
    assert second < 0.8 * first
    assert oracle.NO_EFFECT < first < 1
