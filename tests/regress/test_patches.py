"""Each patch of the series: what is red without it and passes with it, and that float adapters stay as they were."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import Shot
from harness.cases.matrix import FULL, QUICK, BlockQuantiser, Matrix
from harness.models.tiny_models import SD1_TINY
from harness.records import record
from harness.records.record import Cell, Observation, Records
from harness.records.verdict import Status, Verdict
from harness.running import pool
from harness.verification.run import run_sides
from harness.verification.sides import RunSpec, build_sides
from sdcpp.patching import series
from sdcpp.source import revision
from tests.regress.conftest import PATIENT, Find

pytestmark = PATIENT

#: What each patch fixes: patch, base model, case and mode, and the verdict without the series. On 2025-12 a GGUF file
#: is not even found without the first patch, so "without" means with that one alone.
FIXED = (
    ("lora-cast-quantized", "flux-small", "lora-r32-gguf-Q8_0@immediately", "ABORT"),
    ("lora-cast-quantized-generation-b", "sd1-tiny", "lora-r32-gguf-Q8_0@immediately", "ABORT"),
    ("lora-quantized-conv", "sd1-tiny", "lora-conv3x3-flat-gguf-Q8_0@at_runtime", "ABORT"),
    ("lora-quantized-conv-generation-b", "sd1-tiny", "lora-conv3x3-flat-gguf-Q8_0@at_runtime", "ABORT"),
    ("lora-rank-one", "flux-small", "lora-r1-safetensors-F32@at_runtime", "NO_EFFECT"),
    ("lora-rank-one-generation-b", "sd1-tiny", "lora-r1-safetensors-F32@immediately", "NO_EFFECT"),
    ("lora-tucker-merge", "sd1-tiny", "tucker-conv3x3-safetensors-F32@immediately", "WRONG"),
    ("lora-tucker-merge-generation-b", "sd1-tiny", "loha-tucker-conv3x3-safetensors-F32@immediately", "WRONG"),
    ("lora-tucker-at-runtime", "sd1-tiny", "tucker-strided-safetensors-F32@at_runtime", "ABORT"),
    ("lora-tucker-at-runtime-generation-b", "sd1-tiny", "tucker-strided-safetensors-F32@at_runtime", "ABORT"),
    ("lokr-factor-order", "flux-small", "lokr-both-safetensors-F32@at_runtime", "ABORT"),
    ("lora-part-of-fused", "flux-small", "lora-diffusers-flux-q-safetensors-F32@at_runtime", "WRONG"),
    ("lora-skip-misfits", "flux-small", "safetensors-down-wider@at_runtime", "ABORT"),
    ("lora-skip-misfits-generation-b", "sd1-tiny", "safetensors-down-wider@at_runtime", "ABORT"),
    ("lora-warn-unused", "flux-small", "gguf-no-tensors@at_runtime", "NO_EFFECT"),
    ("lora-warn-unused-generation-b", "sd1-tiny", "gguf-no-tensors@at_runtime", "NO_EFFECT"),
    ("lora-load-failure", "flux-small", "gguf-truncated-inside-t5-data@at_runtime", "WRONG"),
    ("lora-load-failure-generation-b", "sd1-tiny", "gguf-truncated-inside-t5-data@at_runtime", "WRONG"),
    ("gguf-check-bounds", "flux-small", "gguf-t1-type-unknown-41@at_runtime", "ABORT"),
    ("gguf-check-bounds-generation-b", "sd1-tiny", "gguf-t1-type-unknown-41@at_runtime", "ABORT"),
    ("safetensors-check-header", "flux-small", "safetensors-dtype-missing@at_runtime", "ABORT"),
    ("safetensors-check-header-generation-b", "sd1-tiny", "safetensors-dtype-missing@at_runtime", "ABORT"),
    ("ckpt-scalar-tensor", "flux-small", "variant-ckpt-scalar-alpha@at_runtime", "ABORT"),
    ("ckpt-scalar-tensor-generation-b", "sd1-tiny", "variant-ckpt-scalar-alpha@at_runtime", "ABORT"),
    ("ckpt-check-bounds", "flux-small", "ckpt-storage-offset-minus-one-in-longer-storage@at_runtime", "WRONG"),
    ("ckpt-check-bounds-generation-b", "sd1-tiny", "ckpt-tensor-shape-zero@at_runtime", "ABORT"),
    ("lokr-merge-conv", "sd1-tiny", "lokr-conv3x3-safetensors-F32@immediately", "WRONG"),
    ("lokr-merge-conv-generation-b", "sd1-tiny", "lokr-conv3x3-safetensors-F32@at_runtime", "WRONG"),
    ("lokr-tucker", "sd1-tiny", "lokr-tucker-conv3x3-safetensors-F32@at_runtime", "ABORT"),
    ("lokr-tucker-generation-b", "sd1-tiny", "lokr-tucker-conv3x3-safetensors-F32@immediately", "ABORT"),
    ("lora-given-twice", "flux-small", "A-and-minus-A@immediately", "WRONG"),
    ("lora-gap-in-fused", "flux-small", "lora-diffusers-flux-qv-safetensors-F32@immediately", "WRONG"),
    ("lora-text-encoder-names", "flux-small", "lora-text-peft-safetensors-F32@at_runtime", "NO_EFFECT"),
    ("lora-text-encoder-names-generation-b", "sd1-tiny", "lora-text-layer-safetensors-F32@immediately", "NO_EFFECT"),
    ("lora-processor-names", "sd1-tiny", "lora-processor-safetensors-F32@immediately", "WRONG"),
    ("lora-processor-names-generation-b", "sd1-tiny", "lora-processor-safetensors-F32@at_runtime", "WRONG"),
    ("lora-lycoris-names", "sd1-tiny", "lora-lycoris-safetensors-F32@immediately", "NO_EFFECT"),
    ("lora-lycoris-names-generation-b", "sd1-tiny", "lora-lycoris-safetensors-F32@at_runtime", "NO_EFFECT"),
    ("gguf-look-first", "flux-small", "gguf-key-empty@at_runtime", "ABORT"),
    ("gguf-look-first-generation-b", "sd1-tiny", "gguf-t1-dim1-zero@at_runtime", "ABORT"),
    ("lora-bf16-alpha", "sd1-tiny", "lora-alpha-bf16-safetensors-F32@immediately", "ABORT"),
    ("lora-clear-at-runtime", "sd1-tiny", "A-then-none@at_runtime", "WRONG"),
    # A warning, not silence, in both modes: of nothing that is used, and of part.
    ("lora-warn-unused", "flux-small", "gguf-no-tensors@immediately", "NO_EFFECT"),
    ("lora-warn-unused", "flux-small", "safetensors-all-of-another-model@at_runtime", "NO_EFFECT"),
    ("lora-warn-unused", "flux-small", "gguf-bit-flip-06-t3-name@at_runtime", "NO_EFFECT"),
    ("lora-warn-unused-generation-b", "sd1-tiny", "gguf-no-tensors@immediately", "NO_EFFECT"),
    ("lora-warn-unused-generation-b", "sd1-tiny", "safetensors-all-of-another-model@at_runtime", "NO_EFFECT"),
    ("lora-warn-unused-generation-b", "sd1-tiny", "gguf-bit-flip-06-t3-name@at_runtime", "NO_EFFECT"),
    ("lokr-factor-order", "sd1-tiny", "lokr-both-conv3x3-r1-gguf-Q8_0@at_runtime", "ABORT"),
    ("lora-skip-misfits", "flux-small", "safetensors-lokr-of-wrong-shape@at_runtime", "ABORT"),
    ("lora-skip-misfits", "flux-small", "safetensors-diff-of-wrong-shape@at_runtime", "ABORT"),
    ("lora-skip-misfits-generation-b", "sd1-tiny", "safetensors-diff-of-wrong-shape@at_runtime", "ABORT"),
    ("gguf-check-bounds", "flux-small", "gguf-offsets-all-zero@at_runtime", "WRONG"),
    ("gguf-check-bounds-generation-b", "sd1-tiny", "gguf-t5-offset-minus-32@at_runtime", "WRONG"),
    ("safetensors-check-header", "flux-small", "safetensors-json-deep@at_runtime", "ABORT"),
    ("safetensors-check-header", "flux-small", "safetensors-offsets-one-byte-off@at_runtime", "WRONG"),
    ("safetensors-check-header-generation-b", "sd1-tiny", "safetensors-shape-fraction@at_runtime", "NO_EFFECT"),
    ("safetensors-skip-bool", "flux-small", "variant-safetensors-unknown-tensor-of-bool@at_runtime", "NO_EFFECT"),
    ("safetensors-skip-bool-generation-b", "sd1-tiny",
     "variant-safetensors-unknown-tensor-of-bool@at_runtime", "NO_EFFECT"),
    ("ckpt-check-bounds", "flux-small", "ckpt-zip-central2-size-0xffffffff@at_runtime", "ABORT"),
    ("ckpt-check-bounds-generation-b", "sd1-tiny", "ckpt-storage-offset-one@at_runtime", "WRONG"),
    ("ckpt-check-bounds-generation-b", "sd1-tiny", "ckpt-tensor-stride-transposed@at_runtime", "WRONG"),
    ("ckpt-check-bounds-generation-b", "sd1-tiny", "ckpt-storage-class-LongStorage@at_runtime", "WRONG"),
    ("ckpt-check-bounds-generation-b", "sd1-tiny", "ckpt-pickle-truncated-after-setitems@at_runtime", "NO_EFFECT"),
    ("ckpt-storage-larger-than-tensor", "flux-small", "variant-ckpt-shared-storage-float64@at_runtime", "ABORT"),
)  # fmt: skip
#: Patches that no case of the matrix asks for, and why.
UNASKED = {
    "lora-find-gguf-single-mode": "no named revision is of generation A",
    "lora-find-gguf": "test_verify.py",
    "lora-part-of-fused-generation-b": "no base model of a fused layer is small enough for 2025-12",
    "lora-gap-in-fused-generation-b": "likewise",
    "lora-bad-multiplier": "test_a_multiplier_that_is_no_number",
    "ckpt-storage-larger-than-tensor-generation-b": "its reader has no type to convert, which leaves GPUs to show it",
    "lora-dequantize-unsupported": "the CPU multiplies with every type; shown by gguf-TQ* on a GPU",
    "lora-dequantize-unsupported-generation-b": "likewise",
    "lora-merge-requantize": "the CPU copies into every type of the base models; shown by base-Q4_K-* on a GPU",
    "lora-merge-requantize-generation-b": "likewise",
}
#: Words that a prompt of 2025-12 may end in, and std::stof cannot read.
ODD = ("<lora:x:abc>", "<lora:x:1e99>")
FLOATS = ("none", "safetensors-F32", "safetensors-F16", "ckpt-F16", "gguf-F32", "gguf-F16", "gguf-BF16")
#: The two sides of a revision, whatever its first one is.
BEFORE, AFTER = "before", "after"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """What a patch fixes, on which revision."""

    patch: str
    revision: str
    base: str
    case: str
    verdict: str


def defects() -> list[Defect]:
    """Return the defects, each with the revision that its patch says it is for."""
    revisions = {patch.name: patch.revisions[0] for patch in series.load() if patch.revisions}
    return [
        Defect(patch=patch, revision=revisions[patch], base=base, case=case, verdict=verdict)
        for patch, base, case, verdict in FIXED
    ]


def sides(name: str, matrix: Matrix, patterns: list[str]) -> Iterator[BuildUnderTest]:
    """Yield a revision as upstream has it, with the patch by which 2025-12 finds GGUF files, and with the series."""
    whole = series.load()
    first = [patch for patch in whole if patch.name == "lora-find-gguf"]
    for label, patches in ((BEFORE, first), (AFTER, whole)):
        question = RunSpec(matrix=matrix, select=patterns, sides=["patched"])
        (made,) = build_sides(revision.find(name), patches, question, BlockQuantiser())
        yield dataclasses.replace(made, side=dataclasses.replace(made.side, label=f"{name} {label}"))


@pytest.fixture(scope="module")
def fixed_cells(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, str], Cell]:
    """The cells of all FIXED cases by side, base model, and case@mode."""
    made = []
    for name in ("2025-12", "2026-05"):
        wanted = [defect for defect in defects() if defect.revision == name]
        for side in sides(name, FULL, [defect.case for defect in wanted]):
            named = {(defect.base, defect.case) for defect in wanted}
            kept = [
                case
                for case in side.cases
                if (case.dimensions["base"], f"{case.name}@{case.dimensions['mode']}") in named
            ]
            made.append(dataclasses.replace(side, cases=kept))
    records = run_sides(
        made, tmp_path_factory.mktemp("fixed"), title="patches", command="nox -s tests", jobs=None
    )
    return {
        (cell.side, cell.dimensions["base"], f"{cell.case}@{cell.dimensions['mode']}"): cell
        for cell in records.cells
    }


@pytest.mark.parametrize("defect", defects(), ids=lambda defect: f"{defect.patch}-{defect.case}")
def test_red_without_and_right_with_the_series(
    fixed_cells: dict[tuple[str, str, str], Cell], defect: Defect
) -> None:
    before, after = (
        fixed_cells[f"{defect.revision} {side}", defect.base, defect.case] for side in (BEFORE, AFTER)
    )
    assert str(before.verdict) == defect.verdict, before.evidence
    assert after.verdict is Verdict.PASS, after.evidence


def test_every_patch_is_asked_for_or_says_why_not() -> None:
    assert {patch.name for patch in series.load()} == {defect.patch for defect in defects()} | UNASKED.keys()


@pytest.fixture(scope="module")
def floats(tmp_path_factory: pytest.TempPathFactory) -> Records:
    """Float adapters on both architectures, without and with the series."""
    made = [side for name in ("2025-12", "2026-05") for side in sides(name, QUICK, list(FLOATS))]
    return run_sides(
        made, tmp_path_factory.mktemp("floats"), title="floats", command="nox -s tests", jobs=None
    )


@pytest.mark.parametrize("name", ["2025-12", "2026-05"])
@pytest.mark.parametrize("case", FLOATS)
def test_float_adapters_paint_the_same_bytes(floats: Records, name: str, case: str) -> None:
    pictures = {
        (cell.dimensions["mode"], cell.side): cell.pictures["got"]
        for cell in floats.cells
        if cell.case == case and cell.side.startswith(name)
    }
    assert all(cell.status is Status.PASS for cell in floats.cells)
    assert len(pictures) == 6
    for mode in ("immediately", "at_runtime", "auto"):
        assert pictures[mode, f"{name} {BEFORE}"] == pictures[mode, f"{name} {AFTER}"]


@pytest.mark.parametrize("mode", ["immediately", "at_runtime", "auto"])
@pytest.mark.parametrize(
    "case", [("2026-05", "gguf-Q8_0"), ("2026-05", "gguf-Q4_0"), ("2025-12", "gguf-Q8_0")], ids="-".join
)
def test_quantised_loras_work_in_every_mode(cell: Find, case: tuple[str, str], mode: str) -> None:
    found = cell(f"{case[0]} patched", case[1], mode)
    assert found.verdict is Verdict.PASS, found.evidence
    assert found.error is not None
    assert found.error < (0.04 if mode == "at_runtime" else 0.02)


def paint(side: BuildUnderTest, prompt: str, path: Path) -> Observation:
    base = dataclasses.replace(SD1_TINY, prompt=prompt)  # the files are those of SD1_TINY
    with record.Writer(path) as writer:
        writer.run(record.Run(plan="", title="", command="", machine={}, started="", project=""))
        pool.run_shots(side.build, "cpu", [Shot(base=base, mode="at_runtime")], writer, jobs=1, threads=2)
    (observation,) = record.read(path).observations.values()
    return observation


def test_a_multiplier_that_is_no_number(builds_under_test: list[BuildUnderTest], tmp_path: Path) -> None:
    pristine, patched = (c for c in builds_under_test if c.side.revision == "2025-12")
    plain = paint(patched, SD1_TINY.prompt, tmp_path / "plain.jsonl")
    assert plain.outcome == "picture"
    for number, words in enumerate(ODD):
        before, after = (
            paint(side, SD1_TINY.prompt + words, tmp_path / f"{number}{side.side.label}.jsonl")
            for side in (pristine, patched)
        )
        assert (before.outcome, before.signal) == ("crashed", "SIGABRT")
        assert after.picture == plain.picture
        assert any("is no number" in line for line in after.log)
