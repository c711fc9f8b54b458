"""Text encoders as narrow as the library accepts: T5, Qwen, Ministral 3, gpt-oss and Gemma, and the large CLIPs.

Names and shapes follow google/t5-v1_1 and the models of the Qwen3 and Mistral families as Hugging Face's transformers
saves them; those of gpt-oss and Gemma follow what the library reads (src/model/te/llm.hpp in revision 2026-07). The
library reads the widths from the weights, but fixes the size and the number of attention heads. All sizes of a CLIP are
constant.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.models.base_model import TensorId, Weight, Weights
from harness.models.weights import gated_mlp, linear, norm, prefixed, scale, vector, zero_centred_scale


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSizes:
    """The sizes of a CLIP. ``projection`` says whether it has the matrix for the pooled output."""

    width: int
    layers: int
    projection: bool = False


#: OpenCLIP-ViT/H of SD 2, and OpenCLIP-ViT/bigG of SDXL and SD 3.
CLIP_H = ClipSizes(width=1024, layers=24)
CLIP_G = ClipSizes(width=1280, layers=32, projection=True)

#: Revision 2026-07 requires that T5's width is a multiple of 64, the size of a head. The pieces of the prompt are among
#: the first 2048 of the vocabulary.
T5_WIDTH, T5_VOCABULARY = 64, 2048
T5_PREFIX = "text_encoders.t5xxl.transformer."
#: The layers of T5 that adapters change here.
T5_LAYERS = tuple(
    f"encoder.block.0.layer.{layer}"
    for layer in (*(f"0.SelfAttention.{name}" for name in "qkvo"), "1.DenseReluDense.wo")
)
#: The width of Qwen3 and Ministral here, which is also that of the text embedding.
LLM_WIDTH = 32
_LLM_MLP = 32
#: The vocabularies contain the special tokens of the prompt templates.
_QWEN3_VOCABULARY, _MINISTRAL_VOCABULARY = 151936, 131072
_HEAD, _HEADS, _KEY_HEADS = 128, 32, 8
#: The sizes of Qwen2.5-VL, which Qwen-Image fixes.
QWEN2_WIDTH, _QWEN2_HEADS, _QWEN2_KEY_HEADS = 3584, 28, 4
#: The sizes of gpt-oss, which Lens fixes.
GPT_OSS_WIDTH, _GPT_OSS_VOCABULARY, _GPT_OSS_EXPERTS = 2880, 201088, 32
_GPT_OSS_HEAD, _GPT_OSS_HEADS, _GPT_OSS_KEY_HEADS = 64, 64, 8
#: The sizes of Gemma 3 of 12 billion parameters, for LTX-2. The library joins the outputs of all layers and their input
#: and fixes the number of values only, so that two wide layers do for 48. The pieces of ``GEMMA3_PROMPT`` are among the
#: first 2048 of the vocabulary.
GEMMA3_WIDTH, GEMMA3_LAYERS, _GEMMA3_VOCABULARY, _GEMMA3_HEADS, _GEMMA3_KEY_HEADS = 62720, 2, 2048, 16, 8
GEMMA3_PROMPT = "the best of the time"
#: The sizes of Gemma 2 of 2 billion parameters, which PiD fixes.
GEMMA2_WIDTH, _GEMMA2_VOCABULARY, _GEMMA2_HEADS, _GEMMA2_KEY_HEADS = 2304, 256000, 8, 4
_GEMMA_HEAD = 256


def t5(width: int = T5_WIDTH, mlp: int = 64) -> Weights:
    """Return the tensors of T5, under the prefix that checkpoints of several models use."""
    attention, feed_forward = "encoder.block.0.layer.0", "encoder.block.0.layer.1"
    weights = vector("shared.weight", T5_VOCABULARY, width)
    for name in "qkvo":
        weights |= linear(f"{attention}.SelfAttention.{name}", width, width, bias=False)
    weights |= vector(f"{attention}.SelfAttention.relative_attention_bias.weight", 32, width // 64)
    for name, out, inner in (("wi_0", mlp, width), ("wi_1", mlp, width), ("wo", width, mlp)):
        weights |= linear(f"{feed_forward}.DenseReluDense.{name}", out, inner, bias=False)
    for name in (attention, feed_forward):
        weights |= scale(f"{name}.layer_norm.weight", width)
    weights |= scale("encoder.final_layer_norm.weight", width)
    return prefixed(T5_PREFIX, weights)


def t5_targets() -> dict[str, TensorId]:
    """Return the layers of the attention of T5 and the last one of its MLP, as targets."""
    return {name: ("model", f"{T5_PREFIX}{name}.weight") for name in T5_LAYERS}


def clip(sizes: ClipSizes) -> Weights:
    """Return the tensors of a CLIP under the names of transformers."""
    text, width = "text_model", sizes.width
    weights: Weights = {
        f"{text}.embeddings.token_embedding.weight": Weight(shape=(49408, width), std=0.3),
        f"{text}.embeddings.position_embedding.weight": Weight(shape=(77, width), std=0.1, dtype="F32"),
        **norm(f"{text}.final_layer_norm", width),
    }
    for number in range(sizes.layers):
        layer = f"{text}.encoder.layers.{number}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            weights |= linear(f"{layer}.self_attn.{name}", width, width)
        weights |= linear(f"{layer}.mlp.fc1", 4 * width, width) | linear(f"{layer}.mlp.fc2", width, 4 * width)
        weights |= norm(f"{layer}.layer_norm1", width) | norm(f"{layer}.layer_norm2", width)
    if sizes.projection:
        weights |= linear("text_projection", width, width, bias=False)
    return weights


def clip_layer(number: int) -> tuple[str, ...]:
    """Return the names in transformers of the matrices of a layer of a CLIP, without ``.weight``."""
    parts = (*(f"self_attn.{name}_proj" for name in ("q", "k", "v", "out")), "mlp.fc1", "mlp.fc2")
    return tuple(f"text_model.encoder.layers.{number}.{part}" for part in parts)


def open_clip(sizes: ClipSizes) -> Weights:
    """Return the tensors of a CLIP under the names of open_clip (transformer.py), where q, k and v are one matrix."""
    width = sizes.width
    weights: Weights = {
        "token_embedding.weight": Weight(shape=(49408, width), std=0.3),
        "positional_embedding": Weight(shape=(77, width), std=0.1, dtype="F32"),
        "text_projection": Weight(shape=(width, width), std=width**-0.5),
        **norm("ln_final", width),
    }
    for number in range(sizes.layers):
        block = f"transformer.resblocks.{number}"
        fused = linear("in_proj", 3 * width, width)
        weights |= {f"{block}.attn.{name.replace('.', '_')}": weight for name, weight in fused.items()}
        weights |= linear(f"{block}.attn.out_proj", width, width)
        weights |= linear(f"{block}.mlp.c_fc", 4 * width, width)
        weights |= linear(f"{block}.mlp.c_proj", width, 4 * width)
        weights |= norm(f"{block}.ln_1", width) | norm(f"{block}.ln_2", width)
    return weights


def qwen3(width: int = LLM_WIDTH, layers: int = 1, dtype: str = "F16") -> Weights:
    """Return the tensors of Qwen3 and of the language part of Qwen3-VL, with a text embedding of this width.

    ``dtype`` is the type of the embedding and of the matrices of attention.
    """
    weights = _llm(_QWEN3_VOCABULARY, width, layers, dtype)
    for number in range(layers):
        for part in "qk":
            weights |= scale(f"text_encoders.llm.model.layers.{number}.self_attn.{part}_norm.weight", _HEAD)
    return weights


def qwen2_5_vl(width: int = QWEN2_WIDTH) -> Weights:
    """Return the tensors of the language part of Qwen2.5-VL with one layer, quantised; by default as wide as published.

    The text embedding has this width.
    """
    sizes = (("q_proj", _QWEN2_HEADS), ("k_proj", _QWEN2_KEY_HEADS), ("v_proj", _QWEN2_KEY_HEADS))
    layer = "layers.0"
    weights: Weights = {
        "embed_tokens.weight": Weight(shape=(_QWEN3_VOCABULARY, width), std=0.3, dtype="Q4_0"),
        **scale("norm.weight", width),
        **linear(f"{layer}.self_attn.o_proj", width, _QWEN2_HEADS * _HEAD, bias=False, dtype="Q8_0"),
        **gated_mlp(f"{layer}.mlp", width, _LLM_MLP),
    }
    for name, heads in sizes:
        weights |= linear(f"{layer}.self_attn.{name}", heads * _HEAD, width, dtype="Q8_0")
    for name in ("input_layernorm", "post_attention_layernorm"):
        weights |= scale(f"{layer}.{name}.weight", width)
    return prefixed("text_encoders.llm.model.", weights)


def ministral() -> Weights:
    """Return the tensors of Ministral 3."""
    return _llm(_MINISTRAL_VOCABULARY)


def gpt_oss() -> Weights:
    """Return the tensors of gpt-oss in its published width, with one layer, quantised."""
    width, experts, layer = GPT_OSS_WIDTH, _GPT_OSS_EXPERTS, "layers.0"
    output = _GPT_OSS_HEADS * _GPT_OSS_HEAD
    weights: Weights = {
        "embed_tokens.weight": Weight(shape=(_GPT_OSS_VOCABULARY, width), std=0.3, dtype="Q4_0"),
        **scale("norm.weight", width),
        **vector(f"{layer}.self_attn.sinks", _GPT_OSS_HEADS),
        **linear(f"{layer}.self_attn.o_proj", width, output, dtype="Q8_0"),
        **linear(f"{layer}.mlp.router", experts, width),
    }
    for name, heads in (
        ("q_proj", _GPT_OSS_HEADS),
        ("k_proj", _GPT_OSS_KEY_HEADS),
        ("v_proj", _GPT_OSS_KEY_HEADS),
    ):
        weights |= linear(f"{layer}.self_attn.{name}", heads * _GPT_OSS_HEAD, width, dtype="Q8_0")
    for name, out, inner in (("gate_up_proj", 2 * _LLM_MLP, width), ("down_proj", width, _LLM_MLP)):
        matrix = f"{layer}.mlp.experts.{name}"
        weights[f"{matrix}.weight"] = Weight(shape=(experts, out, inner), std=inner**-0.5, dtype="Q8_0")
        weights[f"{matrix}.bias"] = Weight(shape=(experts, out), std=0.02, dtype="F32")
    for name in ("input_layernorm", "post_attention_norm"):
        weights |= scale(f"{layer}.{name}.weight", width)
    return prefixed("text_encoders.llm.model.", weights)


def gemma3() -> Weights:
    """Return the tensors of Gemma 3, quantised."""
    norms = ("input_layernorm", "post_attention_norm", "post_attention_layernorm", "post_ffw_norm")
    weights = _gemma_layers(GEMMA3_WIDTH, GEMMA3_LAYERS, _GEMMA3_HEADS, _GEMMA3_KEY_HEADS, "TQ2_0")
    for number in range(GEMMA3_LAYERS):
        layer = f"layers.{number}"
        for name in norms:
            weights |= scale(f"{layer}.{name}.weight", GEMMA3_WIDTH)
        for part in "qk":
            weights |= scale(f"{layer}.self_attn.{part}_norm.weight", _GEMMA_HEAD)
    embedding = Weight(shape=(_GEMMA3_VOCABULARY, GEMMA3_WIDTH), std=0.3, dtype="Q4_0")
    return prefixed(
        "text_encoders.llm.model.",
        {"embed_tokens.weight": embedding, **scale("norm.weight", GEMMA3_WIDTH), **weights},
    )


def gemma2() -> Weights:
    """Return the tensors of Gemma 2 with one layer, quantised."""
    norms = (
        *("input_layernorm", "post_attention_layernorm"),
        *("pre_feedforward_layernorm", "post_feedforward_layernorm"),
    )
    weights = _gemma_layers(GEMMA2_WIDTH, 1, _GEMMA2_HEADS, _GEMMA2_KEY_HEADS, "Q8_0")
    for name in norms:
        weights |= zero_centred_scale(f"layers.0.{name}.weight", GEMMA2_WIDTH)
    embedding = Weight(shape=(_GEMMA2_VOCABULARY, GEMMA2_WIDTH), std=0.3, dtype="Q4_0")
    return prefixed(
        "text_encoders.llm.model.",
        {"embed_tokens.weight": embedding, **zero_centred_scale("norm.weight", GEMMA2_WIDTH), **weights},
    )


def _gemma_layers(width: int, layers: int, heads: int, key_heads: int, dtype: str) -> Weights:
    """Return the matrices of the layers; ``dtype`` is the type of those of attention."""
    weights: Weights = {}
    for number in range(layers):
        layer = f"layers.{number}"
        for name, count in (("q_proj", heads), ("k_proj", key_heads), ("v_proj", key_heads)):
            weights |= linear(
                f"{layer}.self_attn.{name}", count * _GEMMA_HEAD, width, bias=False, dtype=dtype
            )
        weights |= linear(f"{layer}.self_attn.o_proj", width, heads * _GEMMA_HEAD, bias=False, dtype=dtype)
        weights |= gated_mlp(f"{layer}.mlp", width, _LLM_MLP)
    return weights


def _llm(vocabulary: int, width: int = LLM_WIDTH, layers: int = 1, dtype: str = "F16") -> Weights:
    weights: Weights = {
        "embed_tokens.weight": Weight(shape=(vocabulary, width), std=0.3, dtype=dtype),
        **scale("norm.weight", width),
    }
    for number in range(layers):
        layer = f"layers.{number}"
        for name, heads in (("q_proj", _HEADS), ("k_proj", _KEY_HEADS), ("v_proj", _KEY_HEADS)):
            weights |= linear(f"{layer}.self_attn.{name}", heads * _HEAD, width, bias=False, dtype=dtype)
        weights |= linear(f"{layer}.self_attn.o_proj", width, _HEADS * _HEAD, bias=False, dtype=dtype)
        weights |= gated_mlp(f"{layer}.mlp", width, _LLM_MLP)
        for name in ("input_layernorm", "post_attention_layernorm"):
            weights |= scale(f"{layer}.{name}.weight", width)
    return prefixed("text_encoders.llm.model.", weights)
