from __future__ import annotations

import re

import pytest

from harness.layers.versions import ROWS, VERSIONS, Version
from harness.models.families.catalogue import (
    FAMILIES,
    FURTHER_OF_VERSION,
    NOT_TESTED,
    OF_VERSION,
    WITHOUT_MODEL,
    models_of,
)

BY_TITLE = {version.title: version for version in ROWS}
#: The matrices of base models whose names no trainer writes.
_EMBEDDINGS = {
    "llm_adapter.embed",
    "embed_image_indicator",
    "time_text_embed.addition_t_embedding",
    "language_model.embed_tokens",
}
#: Layers that encode reference pictures, which no trainer changes.
_OF_PICTURES = "visual."


@pytest.mark.parametrize("version", ROWS, ids=lambda version: version.title)
def test_every_layer_is_filled_in(version: Version) -> None:
    layers = dict(version.layers())
    assert len(layers) >= 11
    for layer, names in layers.items():
        assert "{" not in layer
        assert not any("{" in name.text for name in names)


def test_the_first_and_the_last_block_are_asked_for() -> None:
    layers = {layer for layer, _ in BY_TITLE["Flux.2 dev"].layers()}
    assert {"single_blocks.0.linear1", "single_blocks.47.linear1"} <= layers
    assert "single_blocks.1.linear1" not in layers


def test_a_unet_has_the_transformers_of_its_version() -> None:
    vega = {layer for layer, _ in BY_TITLE["Segmind Vega"].layers()}
    assert "input_blocks.4.1.transformer_blocks.0.attn1.to_q" in vega
    assert not any(layer.startswith(("middle_block.1", "input_blocks.1.1")) for layer in vega)
    assert "label_emb.0.0" in vega
    assert not any(layer.startswith("label_emb") for layer, _ in BY_TITLE["SD 1"].layers())


def test_every_version_has_a_model_or_a_reason() -> None:
    assert {version.title for version in ROWS} == set(OF_VERSION) | set(WITHOUT_MODEL)
    assert not set(OF_VERSION) & set(WITHOUT_MODEL)
    assert set(FURTHER_OF_VERSION) | set(NOT_TESTED) <= set(OF_VERSION)
    models = [base.name for version in ROWS for base in models_of(version.title)]
    assert len(models) == len(set(models))
    assert set(models) == set(FAMILIES) | {"sd1-tiny"}
    assert len({version.name for version in VERSIONS}) == len(VERSIONS) == 45


@pytest.mark.parametrize("title", OF_VERSION)
def test_every_matrix_of_a_base_model_is_a_layer_of_its_version(title: str) -> None:
    """So each layer that no picture judges is judged by its names (``sdcpp study names``)."""
    version, base = BY_TITLE[title], OF_VERSION[title]
    names = [
        text for layer, names in version.family.layers.items() for text in (layer, *(n.text for n in names))
    ]
    patterns = [re.escape(text).replace(r"\{n\}", r"\d+").replace(r"\{rest\}", ".+") for text in names]
    known = re.compile("|".join(patterns))
    matrices = {
        name.removeprefix(version.prefix).removesuffix(".weight")
        for name, weight in base.files["model"].items()
        if name.startswith(version.prefix) and name.endswith(".weight") and len(weight.shape) > 1
    }
    assert matrices
    unknown = {name for name in matrices if not known.fullmatch(name)}
    assert {name for name in unknown if not name.startswith(_OF_PICTURES)} <= _EMBEDDINGS
