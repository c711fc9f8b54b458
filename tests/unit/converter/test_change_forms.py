from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.converter.change_forms import Impossible, as_dense, as_kernel, as_matrix, targets_of, zeros_of
from harness.converter.layer_groups import LayerGroup
from harness.converter.modules import Module
from harness.converter.weight_change import Dense, Kronecker, LowRank
from harness.formats.tensor import Tensor
from harness.layers.components import CLIP_1, DIFFUSION
from harness.layers.flux import FLUX
from harness.layers.layer import Family, Name, Place
from harness.layers.sd3 import SD3
from harness.layers.unet import UNET


def group(layer: str, family: Family = UNET, component: str = DIFFUSION) -> LayerGroup:
    return LayerGroup(component=component, layer=layer, family=family, modules=(), places=())


@pytest.mark.parametrize(
    ("of", "shape", "targets"),
    [
        (group("input_blocks_1_1_transformer_blocks_0_attn1_to_q"), (8, 8), "linear"),
        (group("input_blocks_1_0_in_layers_2"), (8, 8, 3, 3), "conv3x3"),
        (group("input_blocks_1_0_in_layers_2"), (8, 72), "conv3x3"),
        (group("input_blocks_3_0_op"), (8, 72), "conv3x3"),
        (group("output_blocks_2_1_conv"), (8, 72), "conv3x3"),
        (group("input_blocks_1_1_proj_in"), (8, 8), "conv1x1"),
        (group("input_blocks_4_0_skip_connection"), (8, 8, 1, 1), "conv1x1"),
        (group("transformer_resblocks_0_mlp_c_fc", component=CLIP_1), (8, 8), "text"),
        (group("double_blocks_0_img_attn_proj", FLUX), (8, 8), "linear"),
        (group("double_blocks_0_img_attn_proj", FLUX), (8, 8, 1, 1), "linear"),
        (group("input_blocks_1_1_transformer_blocks_0_attn1_to_q"), (8, 8, 1, 1), "linear"),
        (group("x_embedder_proj", SD3), (8, 8, 2, 2), "conv3x3"),
    ],
)
def test_what_a_group_changes(of: LayerGroup, shape: tuple[int, ...], targets: str) -> None:
    assert targets_of(of, shape) == targets


def test_the_axes_of_a_kernel() -> None:
    left, right = np.ones((4, 2)), np.arange(36.0).reshape(2, 18)
    found = as_kernel(lambda: LowRank(left=left, right=right, shape=(4, 18)))
    assert found.shape == (4, 2, 3, 3)
    assert found.right is right
    with pytest.raises(Impossible, match="rows of 17 are no kernels of 3 x 3"):
        as_kernel(lambda: LowRank(left=left, right=right[:, :17], shape=(4, 17)))


def test_matrices_that_are_stored_as_kernels() -> None:
    left, right = np.ones((4, 2)), np.arange(12.0).reshape(2, 6)
    found = as_matrix(lambda: LowRank(left=left, right=right, shape=(4, 6, 1, 1)))
    assert found == LowRank(left=left, right=right, shape=(4, 6))
    first, second = np.arange(4.0).reshape(2, 2), np.arange(6.0).reshape(2, 3, 1, 1)
    product = as_matrix(lambda: Kronecker(first=first, second=second, shape=(4, 6, 1, 1)))
    assert np.array_equal(as_dense(lambda: product).value, np.kron(first, second[..., 0, 0]))
    dense = as_matrix(lambda: Dense(value=second, shape=second.shape))
    assert isinstance(dense, Dense)
    assert np.array_equal(dense.value, second[..., 0, 0])


def test_all_values() -> None:
    first, second = np.arange(4.0).reshape(2, 2), np.arange(6.0).reshape(2, 3)
    found = as_dense(lambda: Kronecker(first=first, second=second, shape=(4, 6)))
    assert np.array_equal(found.value, np.kron(first, second))


def test_zeros_for_a_piece_of_a_fused_layer() -> None:
    units = (3, 3, 3, 12)
    shapes = {"down": (2, 16), "up": (6, 2)}
    parts = {
        part: Tensor(name=part, shape=shape, kind="F32", path=Path("x"), offset=0)
        for part, shape in shapes.items()
    }
    module = Module(key="q", parts=parts, kind="lora")
    linear = LayerGroup(
        component=DIFFUSION,
        layer="single_blocks_0_linear1",
        family=FLUX,
        modules=(module,),
        places=(Place(layer="single_blocks_0_linear1", units=units, take=(0,)),),
    )
    found = zeros_of(linear, Name(text="mlp", units=units, take=(3,)), 2)
    assert (found.left.shape, found.right.shape, found.shape) == ((24, 2), (2, 16), (24, 16))
    assert not found.left.any()
