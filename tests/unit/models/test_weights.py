from __future__ import annotations

import math

from harness.models.weights import conv, gated_mlp, linear, norm, prefixed, scale, vector


def test_a_linear_layer_keeps_the_spread_of_its_inputs() -> None:
    weights = linear("to_q", 8, 64)
    assert set(weights) == {"to_q.weight", "to_q.bias"}
    assert weights["to_q.weight"].shape == (8, 64)
    assert weights["to_q.weight"].std == 1 / math.sqrt(64)
    assert linear("out", 8, 64, gain=10.0, bias=False)["out.weight"].std == 10 / math.sqrt(64)


def test_a_convolution_counts_its_kernel() -> None:
    weights = conv("conv1", 8, 4, 3)
    assert weights["conv1.weight"].shape == (8, 4, 3, 3)
    assert weights["conv1.weight"].std == 1 / math.sqrt(4 * 9)


def test_a_gated_mlp_has_three_matrices() -> None:
    weights = gated_mlp("mlp", 8, 32, dtype="Q8_0")
    shapes = {"mlp.gate_proj.weight": (32, 8), "mlp.up_proj.weight": (32, 8), "mlp.down_proj.weight": (8, 32)}
    assert {name: weight.shape for name, weight in weights.items()} == shapes
    assert {weight.dtype for weight in weights.values()} == {"Q8_0"}


def test_norms_are_around_one_and_vectors_around_zero() -> None:
    assert norm("norm1", 8)["norm1.weight"].mean == 1.0
    assert norm("norm1", 8)["norm1.bias"].mean == 0.0
    assert scale("norm.scale", 8)["norm.scale"].mean == 1.0
    assert vector("pad_token", 8)["pad_token"].dtype == "F32"
    assert vector("table", 8, 4)["table"].dtype == "F16"


def test_a_prefix_is_put_before_every_name() -> None:
    assert set(prefixed("model.", scale("norm.scale", 8))) == {"model.norm.scale"}
