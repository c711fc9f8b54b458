"""The core cases: the few questions that are put to every revision in the registry, and the base models they take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.adapters.adapter import Adapter
from harness.adapters.use import AnyFile, Use
from harness.cases.case import Case, Shot
from harness.cases.matrix import Fixture, Matrix, sequence, single
from harness.malformed import adapter_shapes
from harness.malformed.malformed_file import MalformedFile, WrittenMalformedFile
from harness.malformed.sound_file import sound_file
from harness.models.base_model import Base
from harness.models.tiny_models import FLUX_SMALL, SD1, SD1_TINY, SD1_WHOLE

#: The smallest base model, by the first day of upstream's history on which a revision is known to load it.
#: Before 2024-09 a model is one file; the tiny UNet came with sdist 0.3.7, flux of any width with 0.4.4.
SMALLEST = (
    ("2026-02-01", FLUX_SMALL),
    ("2025-11-10", SD1_TINY),
    ("2024-09-02", SD1),
    ("2024-01-01", SD1_WHOLE),
)
#: The cases in the order of the table, and what each asks.
CORE_CASES = {
    "none": "without an adapter, does the mode change nothing?",
    "safetensors-F16": "is an F16 safetensors file of kohya's names applied?",
    "ckpt-F16": "the same as ckpt?",
    "gguf-F16": "the same as GGUF?",
    "gguf-Q8_0": "the same as GGUF of type Q8_0?",
    "gguf-Q4_0": "the same as GGUF of type Q4_0?",
    "peft-names": "is a file of PEFT's names applied?",
    "rank-1": "is a file of rank 1 applied?",
    "bf16-alpha": "is a safetensors file of BF16 tensors, alpha included, applied?",
    "gguf-bf16-alpha": "the same as GGUF?",
    "A-then-none": "is nothing of an adapter left in the next picture of the same context?",
    "missing-file": "does a name without a file leave the picture as it is?",
    "wrong-shape": "does a file for layers of another width leave the picture as it is, or is it refused?",
}


def base_for(date: str | None) -> Base:
    """Return the smallest base model for a revision of this day (ISO 8601).

    None is taken for the newest, and so is a day before the first sdist's, which says nothing: a working tree of
    `sdcpp patch start` begins at the epoch.
    """
    return next((base for day, base in SMALLEST if date is None or date >= day), SMALLEST[0][1])


def matrix(date: str | None) -> Matrix:
    """Return the core cases as a matrix for a revision of this day."""
    found = (base_for(date),)
    return Matrix(dimensions=(core,), bases=dict.fromkeys("ABC", found), in_auto=())


def core(fixture: Fixture, mode: str) -> Iterator[Case]:
    """Yield the core cases for an apply mode, named as in QUESTIONS."""
    base = fixture.base
    without = Shot(base=base, mode="auto")
    lora = Adapter(name="lora-r32", base=base.name)
    first = Use(file=fixture.file(lora, "safetensors", "F16"))
    yield _same("none", mode, Shot(base=base, mode=mode), without)
    for container, kind in (
        ("safetensors", "F16"),
        ("ckpt", "F16"),
        *(("gguf", k) for k in ("F16", "Q8_0", "Q4_0")),
    ):
        yield single(fixture, mode, lora, container, kind)
    variants = {
        "peft-names": (replace(lora, name="lora-peft", scheme="peft"), "safetensors", "F16"),
        # With an alpha, rank 1 has another defect, which would hide this one: docs/findings.md.
        "rank-1": (replace(lora, name="lora-r1-alpha-none", rank=1, alpha=None), "safetensors", "F16"),
        "bf16-alpha": (replace(lora, name="lora-alpha-bf16", alpha_type="BF16"), "safetensors", "BF16"),
        "gguf-bf16-alpha": (replace(lora, name="lora-alpha-bf16", alpha_type="BF16"), "gguf", "BF16"),
    }
    for name, (adapter, container, kind) in variants.items():
        yield replace(single(fixture, mode, adapter, container, kind), name=name)
    yield sequence("A-then-none", ((first,), ()), wanted=(), mode=mode, varied={"sequence": "A-then-none"})
    for name, recipe in (("missing-file", _missing()), ("wrong-shape", _wrong_shape(base))):
        file: AnyFile = WrittenMalformedFile(base=base, recipe=recipe, any_suffix=False)
        yield _same(name, mode, Shot(base=base, mode=mode, sequence=((Use(file=file),),)), without)


def _same(name: str, mode: str, shot: Shot, without: Shot) -> Case:
    """Return the case of a shot that must be the picture without an adapter, to the byte."""
    dimensions = {"base": shot.base.name, "mode": mode, "container": "safetensors", "type": "odd"}
    return Case(name=name, shot=shot, without=without, equal=without, dimensions=dimensions)


def _missing() -> MalformedFile:
    return MalformedFile(name="missing", container="path", why="there is no such file")


def _wrong_shape(base: Base) -> MalformedFile:
    return next(r for r in adapter_shapes.recipes(sound_file(base)) if r.name == "safetensors-down-wider")
