from __future__ import annotations

import pytest

from harness.adapters import flux_names
from harness.models.layered_models import FLUX_LAYERS


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("img_in", ("", ("x_embedder",))),
        ("final_layer.linear", ("", ("proj_out",))),
        ("double_blocks.10.txt_mod.lin", ("transformer_blocks.10.", ("norm1_context.linear",))),
        ("single_blocks.1.linear2", ("single_transformer_blocks.1.", ("proj_out",))),
    ],
)
def test_a_layer_has_its_names_in_diffusers(name: str, wanted: tuple[str, tuple[str, ...]]) -> None:
    assert flux_names.diffusers(name) == wanted


def test_all_layers_have_names_and_no_name_occurs_twice() -> None:
    layers = [
        name.removeprefix("model.diffusion_model.").rpartition(".")[0]
        for name in FLUX_LAYERS.files["model"]
        if name.startswith("model.diffusion_model.") and not name.endswith(".bias")
    ]
    names = [prefix + name for prefix, names in map(flux_names.diffusers, layers) for name in names]
    assert len(set(names)) == len(names)


def test_an_unknown_layer_is_refused() -> None:
    with pytest.raises(KeyError):
        flux_names.diffusers("double_blocks.0.unknown")
