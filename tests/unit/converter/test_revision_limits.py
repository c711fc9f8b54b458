from __future__ import annotations

import re

import pytest

from harness.converter import revision_limits
from harness.converter.modules import split
from harness.converter.revision_limits import UNPATCHED, UNREACHABLE, limits
from harness.layers import components, families
from harness.layers.components import CLIP_1, DIFFUSION
from harness.layers.flux import FLUX
from harness.layers.rare_transformers import HIDREAM_O1
from harness.layers.recent_transformers import LTX
from harness.layers.unet import UNET
from harness.layers.versions import ROWS
from harness.models import tiny_models
from harness.models.families.catalogue import FAMILIES
from harness.models.layered_models import FLUX_ATTENTIVE, FLUX_LAYERS, SD1_LAYERS
from harness.records import record, understood_names
from harness.records.verdict import Verdict
from sdcpp import project
from sdcpp.errors import UnknownRevision


def test_the_revisions_are_those_with_expectations() -> None:
    assert revision_limits.known_revisions() == ("2025-12", "2026-05", "2026-07")
    assert limits(UNPATCHED).revisions == revision_limits.known_revisions()
    with pytest.raises(UnknownRevision, match="no measurements of this revision"):
        limits("0.4.4")


@pytest.mark.parametrize(
    ("change", "targets", "form"),
    [
        ("LowRank", "linear", "lora"),
        ("LowRank", "conv3x3", "lora"),
        ("Product", "text", "loha"),
        ("Kronecker", "linear", "lokr"),
        # In mode immediately the first factor has too few axes.
        ("Kronecker", "conv3x3", "diff"),
        ("Kronecker", "conv1x1", "diff"),
        ("Dense", "text", "diff"),
    ],
)
def test_the_first_form_that_is_expected_to_work(change: str, targets: str, form: str) -> None:
    assert limits("2026-05").form(change, targets, unet=targets.startswith("conv")) == (form, "")


def test_containers() -> None:
    assert not limits("2026-05").why_no_container("gguf")
    assert "A GGUF LoRA is not found" in limits("2025-12").why_no_container("gguf")
    assert "A GGUF LoRA is not found" in limits(UNPATCHED).why_no_container("gguf")
    assert limits("2026-05").why_no_container("ckpt")


def test_types() -> None:
    assert not limits("2026-05").why_no_type("BF16")
    assert "immediately" in limits("2026-05").why_no_type("Q8_0")


@pytest.mark.parametrize(
    ("family", "layer", "reached"),
    [
        (UNET, "time_embed_0", False),
        (UNET, "label_emb_0_2", False),
        (UNET, "input_blocks_0_0", True),
        (UNET, "input_blocks_1_1_norm", True),
        (FLUX, "double_blocks_0_img_attn_norm_query_norm", False),
        (FLUX, "single_blocks_0_norm_key_norm", False),
        (FLUX, "final_layer_adaLN_modulation_1", True),
        (HIDREAM_O1, "language_model_layers_0_self_attn_q_proj", False),
    ],
)
def test_layers_that_no_name_reaches(family: object, layer: str, reached: bool) -> None:
    assert (not limits("2026-07").unreachable(family, DIFFUSION, layer)) is reached  # type: ignore[arg-type]


def test_the_norms_of_a_text_encoder_are_reached_in_models_without_a_unet() -> None:
    for family, reached in ((UNET, False), (None, False), (FLUX, True)):
        found = limits("2026-07").unreachable(family, CLIP_1, "transformer_resblocks_3_ln_1")
        assert (not found) is reached
    assert not limits("2026-07").unreachable(UNET, CLIP_1, "transformer_resblocks_3_attn_in_proj")


def test_names_that_the_library_loses_are_not_written() -> None:
    titles = {version.title: version.family for version in ROWS}
    (build,) = (each for each in understood_names.read() if each.state == "pristine")
    lost = [row for row in build.rows if row.trainer == "comfy" and row.wrong and not row.text_encoder]
    assert {"PiD", "HiDream-O1", "Boogu-Image", "SDXL"} <= {row.version for row in lost}
    for row in lost:
        family, parsed = titles[row.version], split(row.wrong)
        assert parsed is not None
        layer = families.place(DIFFUSION, components.of_adapter(parsed[0]).rest, family).layer
        written = limits(build.revision).naming(family, DIFFUSION).names(DIFFUSION, layer, family)
        unreachable = limits(build.revision).unreachable(family, DIFFUSION, layer)
        assert unreachable or parsed[0] not in [name.text for name in written], row.wrong


def test_every_reason_names_a_section_of_the_findings_or_a_command() -> None:
    headings = (project.ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    for each in UNREACHABLE:
        section = re.search(r"\(docs/findings\.md: (.+)\)$", each.reason)
        assert f"{section[1]}\n" in headings if section else "(sdcpp study twins" in each.reason


def test_every_measured_family_exists() -> None:
    names = {family.name for family in families.FAMILIES}
    assert set(revision_limits.MEASURED) == set(revision_limits.known_revisions())
    assert all(measured <= names for measured in revision_limits.MEASURED.values())


def test_rewritten_files_passed_for_every_measured_family() -> None:
    models = {**tiny_models.BASES, **FAMILIES}
    models |= {base.name: base for base in (FLUX_ATTENTIVE, FLUX_LAYERS, SD1_LAYERS)}
    passed: dict[str, set[str]] = {}
    for path in sorted((project.ROOT / "results" / "twins").glob("*.jsonl.gz")):
        records = record.read(path)
        (revision,) = {records.sides[cell.side].revision for cell in records.cells}
        bases = {cell.dimensions["base"] for cell in records.cells if cell.verdict is Verdict.PASS}
        found = [
            families.of_model(
                components.of_model(name.removesuffix(".weight")).rest for name in models[base].files["model"]
            )
            for base in bases
        ]
        passed.setdefault(revision, set()).update(family.name for family in found if family)
    assert passed == {revision: set(names) for revision, names in revision_limits.MEASURED.items()}


def test_the_promise_names_a_family_that_was_not_measured() -> None:
    assert limits("2026-05").promise(FLUX) == "without patches, 2026-05 applies this file in every mode"
    assert limits(UNPATCHED).promise(FLUX).endswith("; the names of Flux.1 were not measured on 2025-12")
    assert limits("2026-07").promise(None).endswith("; the names of this model were not measured on 2026-07")
    assert limits("2026-07").promise(LTX).endswith("; the names of LTX were not measured on 2026-07")
