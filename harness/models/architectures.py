"""The tensors of models that stable-diffusion.cpp supports, with the smallest widths that it accepts.

Names and shapes follow the published checkpoints: Flux (github.com/black-forest-labs/flux,
``src/flux/model.py``), Stable Diffusion 1 (github.com/CompVis/latent-diffusion, ``openaimodel.py``) with the
tiny UNet of segmind/tiny-sd, CLIP-L (openai/clip-vit-large-patch14) and TAESD (github.com/madebyollin/taesd).
"""

from __future__ import annotations

from collections.abc import Collection

from harness.models.base_model import Weight, Weights
from harness.models.weights import conv, linear, norm


def flux(
    *,
    hidden: int = 256,
    head: int = 128,
    context: int = 4096,
    double: int = 1,
    single: int = 1,
    guidance: bool = False,
    gain: float = 1.0,
    sharpness: float = 1,
) -> Weights:
    """Return the tensors of Flux: schnell or, with ``guidance``, dev, which also embeds the guidance.

    ``hidden`` is the number of channels, ``head`` the size of an attention head, ``context`` the width of the text
    embedding; ``double`` and ``single`` are the numbers of blocks. ``gain`` scales the last matrix, and ``sharpness``
    is the mean of the norms of queries: attention depends more on queries and keys if it is larger. The matrices that
    adapters change are F32, so merging an adapter into them loses no precision.
    """
    means = {"query": sharpness, "key": 1}
    mlp = 4 * hidden
    weights: Weights = {
        **linear("img_in", hidden, 64),
        **linear("txt_in", hidden, context),
        **linear("time_in.in_layer", hidden, 256),
        **linear("time_in.out_layer", hidden, hidden),
        **linear("vector_in.in_layer", hidden, 768),
        **linear("vector_in.out_layer", hidden, hidden),
        **linear("final_layer.adaLN_modulation.1", 2 * hidden, hidden),
        **linear("final_layer.linear", 64, hidden, gain=gain),
    }
    if guidance:
        weights |= linear("guidance_in.in_layer", hidden, 256)
        weights |= linear("guidance_in.out_layer", hidden, hidden)
    for i in range(double):
        for stream in ("img", "txt"):
            block = f"double_blocks.{i}.{stream}"
            weights |= linear(f"{block}_mod.lin", 6 * hidden, hidden)
            weights |= linear(f"{block}_attn.qkv", 3 * hidden, hidden, dtype="F32")
            weights |= linear(f"{block}_attn.proj", hidden, hidden, dtype="F32")
            weights |= linear(f"{block}_mlp.0", mlp, hidden, dtype="F32")
            weights |= linear(f"{block}_mlp.2", hidden, mlp, dtype="F32")
            for part in ("query", "key"):
                weights[f"{block}_attn.norm.{part}_norm.scale"] = Weight(
                    shape=(head,), std=0.05, mean=means[part], dtype="F32"
                )
    for i in range(single):
        block = f"single_blocks.{i}"
        weights |= linear(f"{block}.modulation.lin", 3 * hidden, hidden)
        weights |= linear(f"{block}.linear1", 3 * hidden + mlp, hidden, dtype="F32")
        weights |= linear(f"{block}.linear2", hidden, hidden + mlp, dtype="F32")
        for part in ("query", "key"):
            weights[f"{block}.norm.{part}_norm.scale"] = Weight(
                shape=(head,), std=0.05, mean=means[part], dtype="F32"
            )
    return weights


def clip_l(changed: Collection[int] = ()) -> Weights:
    """Return the tensors of CLIP ViT-L/14's text encoder (123 million parameters; the library fixes the widths).

    ``changed`` are the numbers of the layers that adapters change. Their matrices are F32, so merging an adapter into
    them loses no precision.
    """
    text = "text_model"
    weights: Weights = {
        f"{text}.embeddings.token_embedding.weight": Weight(shape=(49408, 768), std=0.3),
        f"{text}.embeddings.position_embedding.weight": Weight(shape=(77, 768), std=0.1, dtype="F32"),
        **norm(f"{text}.final_layer_norm", 768),
    }
    for i in range(12):
        layer = f"{text}.encoder.layers.{i}"
        dtype = "F32" if i in changed else "F16"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            weights |= linear(f"{layer}.self_attn.{name}", 768, 768, dtype=dtype)
        weights |= linear(f"{layer}.mlp.fc1", 3072, 768, dtype=dtype)
        weights |= linear(f"{layer}.mlp.fc2", 768, 3072, dtype=dtype)
        weights |= norm(f"{layer}.layer_norm1", 768) | norm(f"{layer}.layer_norm2", 768)
    return weights


def _taesd_block(name: str, width: int) -> Weights:
    return {k: v for part in (0, 2, 4) for k, v in conv(f"{name}.conv.{part}", width, width, 3).items()}


def taesd(channels: int, *, contrast: float, brightness: tuple[float, float, float]) -> Weights:
    """Return the tensors of the decoder of TAESD, for latents of ``channels`` channels.

    ``contrast`` scales the last convolution. ``brightness`` is the bias of that convolution for red, green and blue; 1
    is white. Both are chosen so that the pictures meet ``Calibration``.
    """
    width = 64
    weights = conv("decoder.layers.0", width, channels, 3, gain=1.4)
    index = 2
    for stage in range(4):
        for _ in range(3 if stage < 3 else 1):
            weights |= _taesd_block(f"decoder.layers.{index}", width)
            index += 1
        if stage < 3:
            index += 1  # the upsampling layer has no weights
            weights |= conv(f"decoder.layers.{index}", width, width, 3, gain=1.4, bias=False)
            index += 1
    weights |= conv(f"decoder.layers.{index}", 3, width, 3, gain=contrast, bias=False)
    weights[f"decoder.layers.{index}.bias"] = Weight(shape=(3,), std=0.0, mean=brightness, dtype="F32")
    return weights


def taesd_encoder(channels: int) -> Weights:
    """Return the tensors of the encoder of TAESD, for latents of ``channels`` channels. No test here encodes."""
    width = 64
    weights = conv("encoder.layers.0", width, 3, 3)
    index = 1
    for stage in range(4):
        if stage:
            weights |= conv(f"encoder.layers.{index}", width, width, 3, bias=False)
            index += 1
        for _ in range(3 if stage else 1):
            weights |= _taesd_block(f"encoder.layers.{index}", width)
            index += 1
    return weights | conv(f"encoder.layers.{index}", channels, width, 3)


def sd1_tiny() -> Weights:
    """Return the tensors of the tiny UNet of Stable Diffusion 1 (324 million parameters; the widths are fixed)."""
    weights: Weights = {
        **linear("time_embed.0", 1280, 320),
        **linear("time_embed.2", 1280, 1280),
        **conv("input_blocks.0.0", 320, 4, 3),
        **norm("out.0", 320),
        **conv("out.2", 4, 320, 3),
    }
    skips = [320]
    for level, width in enumerate((320, 640, 1280)):
        block = f"input_blocks.{3 * level + 1}"
        weights |= _resnet(f"{block}.0", skips[-1], width) | _attention(f"{block}.1", width)
        skips.append(width)
        if level < 2:
            weights |= conv(f"input_blocks.{3 * level + 3}.0.op", width, width, 3)
            skips.append(width)
    width = 1280
    for level, out in enumerate((1280, 640, 320)):
        for i in range(2):
            block = f"output_blocks.{3 * level + i}"
            weights |= _resnet(f"{block}.0", width + skips.pop(), out) | _attention(f"{block}.1", out)
            width = out
        if level < 2:
            # The library expects the first upsampling at index 1 of its block, and the second at index 2.
            weights |= conv(f"output_blocks.{3 * level + 2}.{1 if level == 0 else 2}.conv", out, out, 3)
    return weights


def sd1() -> Weights:
    """Return the tensors of the UNet of Stable Diffusion 1 (860 million parameters; the widths are fixed)."""
    weights: Weights = {
        **linear("time_embed.0", 1280, 320),
        **linear("time_embed.2", 1280, 1280),
        **conv("input_blocks.0.0", 320, 4, 3),
        **norm("out.0", 320),
        **conv("out.2", 4, 320, 3),
    }
    widths = (320, 640, 1280, 1280)
    width, index, skips = 320, 0, [320]
    for level, out in enumerate(widths):
        for _ in range(2):
            index += 1
            weights |= _resnet(f"input_blocks.{index}.0", width, out)
            weights |= _attention(f"input_blocks.{index}.1", out) if level < 3 else {}
            width = out
            skips.append(width)
        if level < 3:
            index += 1
            weights |= conv(f"input_blocks.{index}.0.op", width, width, 3)
            skips.append(width)
    weights |= _resnet("middle_block.0", width, width) | _attention("middle_block.1", width)
    weights |= _resnet("middle_block.2", width, width)
    index = 0
    for level, out in reversed(list(enumerate(widths))):
        for i in range(3):
            weights |= _resnet(f"output_blocks.{index}.0", width + skips.pop(), out)
            weights |= _attention(f"output_blocks.{index}.1", out) if level < 3 else {}
            width = out
            if i == 2 and level:
                # The upsampling follows the attention, if the block has one.
                weights |= conv(f"output_blocks.{index}.{2 if level < 3 else 1}.conv", out, out, 3)
            index += 1
    return weights


def _resnet(name: str, inner: int, out: int) -> Weights:
    weights = {
        **norm(f"{name}.in_layers.0", inner),
        **conv(f"{name}.in_layers.2", out, inner, 3),
        **linear(f"{name}.emb_layers.1", out, 1280),
        **norm(f"{name}.out_layers.0", out),
        **conv(f"{name}.out_layers.3", out, out, 3),
    }
    if inner != out:
        weights |= conv(f"{name}.skip_connection", out, inner, 1)
    return weights


def _attention(name: str, width: int) -> Weights:
    block = f"{name}.transformer_blocks.0"
    weights = {
        **norm(f"{name}.norm", width),
        **conv(f"{name}.proj_in", width, width, 1),
        **conv(f"{name}.proj_out", width, width, 1),
        **linear(f"{block}.ff.net.0.proj", 8 * width, width),
        **linear(f"{block}.ff.net.2", width, 4 * width, dtype="F32"),
    }
    for attn, context in (("attn1", width), ("attn2", 768)):
        weights |= linear(f"{block}.{attn}.to_q", width, width, bias=False, dtype="F32")
        weights |= linear(f"{block}.{attn}.to_k", width, context, bias=False, dtype="F32")
        weights |= linear(f"{block}.{attn}.to_v", width, context, bias=False, dtype="F32")
        weights |= linear(f"{block}.{attn}.to_out.0", width, width, dtype="F32")
    for i in (1, 2, 3):
        weights |= norm(f"{block}.norm{i}", width)
    return weights
