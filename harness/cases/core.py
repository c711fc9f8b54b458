"""The core cases: a few cases that run on every revision in revisions.toml, and the base models they use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.adapters.adapter import Adapter
from harness.adapters.use import AnyFile, Use
from harness.cases.case import Case, Shot
from harness.cases.dimensions import sequence_case, single_file_case
from harness.cases.fixture import Fixture
from harness.cases.matrix import Matrix
from harness.malformed import adapter_shapes
from harness.malformed.malformed_file import MalformedFile, WrittenMalformedFile
from harness.malformed.sound_file import sound_file
from harness.models.base_model import Base
from harness.models.tiny_models import FLUX_SMALL, SD1, SD1_TINY, SD1_WHOLE

#: The smallest base model that a revision can load, with the first date (ISO 8601) of such a revision, newest first.
#: Before 2024-09 upstream loads models of one file only. Sdist 0.3.7 added the tiny UNet, 0.4.4 Flux of any width.
SMALLEST_BASES = (
    ("2026-02-01", FLUX_SMALL),
    ("2025-11-10", SD1_TINY),
    ("2024-09-02", SD1),
    ("2024-01-01", SD1_WHOLE),
)
#: The core cases in the order of the table, and what each case tests.
CORE_CASES = {
    "none": "Without an adapter, the apply mode does not change the picture.",
    "safetensors-F16": "An F16 safetensors file with kohya's tensor names is applied.",
    "ckpt-F16": "The same adapter as ckpt is applied.",
    "gguf-F16": "The same adapter as GGUF is applied.",
    "gguf-Q8_0": "The same adapter as GGUF of type Q8_0 is applied.",
    "gguf-Q4_0": "The same adapter as GGUF of type Q4_0 is applied.",
    "peft-names": "A file with PEFT's tensor names is applied.",
    "rank-1": "A file of rank 1 is applied.",
    "bf16-alpha": "A safetensors file of BF16 tensors, alpha included, is applied.",
    "gguf-bf16-alpha": "A GGUF file of BF16 tensors, alpha included, is applied.",
    "A-then-none": "An adapter leaves no trace in the next picture of the same context.",
    "missing-file": "An adapter name without a file does not change the picture.",
    "wrong-shape": "A file for layers of another width is refused or does not change the picture.",
}


def base_for(date: str | None) -> Base:
    """Return the smallest base model that a revision of this date (ISO 8601) can load.

    Without a date, and for a date before that of the first sdist, return the base model of the newest revisions: a
    working tree of `sdcpp patch start` is dated at the Unix epoch.
    """
    return next(
        (base for first, base in SMALLEST_BASES if date is None or date >= first), SMALLEST_BASES[0][1]
    )


def matrix(date: str | None) -> Matrix:
    """Return the core cases as a matrix for a revision of this date (ISO 8601)."""
    return Matrix(dimensions=(core,), bases=dict.fromkeys("ABC", (base_for(date),)), in_auto=())


def core(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield the core cases for an apply mode, in the order and with the names of ``CORE_CASES``."""
    base = fixture.base
    without = Shot(base=base, mode="auto")
    lora = Adapter(name="lora-r32", base=base.name)
    first = Use(file=fixture.file(lora, "safetensors", "F16"))
    yield _unchanged_picture("none", mode, Shot(base=base, mode=mode), without)
    for container, kind in (
        ("safetensors", "F16"),
        ("ckpt", "F16"),
        *(("gguf", k) for k in ("F16", "Q8_0", "Q4_0")),
    ):
        yield single_file_case(fixture, mode, lora, container, kind)
    variants = {
        "peft-names": (replace(lora, name="lora-peft", scheme="peft"), "safetensors", "F16"),
        # Without alpha: rank 1 with an alpha has a defect that would hide this one (see docs/findings.md).
        "rank-1": (replace(lora, name="lora-r1-alpha-none", rank=1, alpha=None), "safetensors", "F16"),
        "bf16-alpha": (replace(lora, name="lora-alpha-bf16", alpha_type="BF16"), "safetensors", "BF16"),
        "gguf-bf16-alpha": (replace(lora, name="lora-alpha-bf16", alpha_type="BF16"), "gguf", "BF16"),
    }
    for name, (adapter, container, kind) in variants.items():
        yield replace(single_file_case(fixture, mode, adapter, container, kind), name=name)
    yield sequence_case(
        "A-then-none", ((first,), ()), wanted=(), mode=mode, varied={"sequence": "A-then-none"}
    )
    for name, recipe in (("missing-file", _missing_file()), ("wrong-shape", _wrong_shape(base))):
        file: AnyFile = WrittenMalformedFile(base=base, recipe=recipe, any_suffix=False)
        shot = Shot(base=base, mode=mode, sequence=((Use(file=file),),))
        yield _unchanged_picture(name, mode, shot, without)


def _unchanged_picture(name: str, mode: str, shot: Shot, without: Shot) -> Case:
    """Return a case that passes if ``shot`` makes the same picture as ``without``, byte for byte."""
    dimensions = {"base": shot.base.name, "mode": mode, "container": "safetensors", "type": "odd"}
    return Case(name=name, shot=shot, without=without, equal=without, dimensions=dimensions)


def _missing_file() -> MalformedFile:
    return MalformedFile(name="missing", container="path", why="there is no such file")


def _wrong_shape(base: Base) -> MalformedFile:
    return next(r for r in adapter_shapes.recipes(sound_file(base)) if r.name == "safetensors-all-wider")
