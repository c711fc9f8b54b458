"""Base models whose groups of targets have every layer that an adapter can name.

Their text encoder is in the file of role clip_l, except the embeddings, so adapters can be merged into all its layers.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.models import architectures
from harness.models.base_model import Base, TensorId, Weights
from harness.models.weights import prefixed

#: The number of blocks of each sort in flux. The numbers of the last blocks have two digits.
_BLOCKS = 11
#: The layers of a text encoder's block, and of a UNet's blocks: from the name in diffusers to the name in LDM.
_TEXT_LAYERS = (*(f"self_attn.{n}_proj" for n in ("q", "k", "v", "out")), "mlp.fc1", "mlp.fc2")
_RESNET = {
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_RESNET_NORMS = {"norm1": "in_layers.0", "norm2": "out_layers.0"}
_TRANSFORMER = "transformer_blocks.0"
_ATTENTION = (
    "proj_in",
    "proj_out",
    *(
        f"{_TRANSFORMER}.{attn}.{n}"
        for attn in ("attn1", "attn2")
        for n in ("to_q", "to_k", "to_v", "to_out.0")
    ),
    f"{_TRANSFORMER}.ff.net.0.proj",
    f"{_TRANSFORMER}.ff.net.2",
)
_ATTENTION_NORMS = ("norm", *(f"{_TRANSFORMER}.norm{i}" for i in (1, 2, 3)))
_OUTER = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_out": "out.2",
}
_SAMPLERS = {
    "down_blocks.0.downsamplers.0.conv": "input_blocks.3.0.op",
    "down_blocks.1.downsamplers.0.conv": "input_blocks.6.0.op",
    "up_blocks.0.upsamplers.0.conv": "output_blocks.2.1.conv",
    "up_blocks.1.upsamplers.0.conv": "output_blocks.5.2.conv",
}


def _files(prefix: str, diffusion_model: Weights, channels: int, taesd: Weights) -> dict[str, Weights]:
    """Return the files, by role. ``prefix`` is that of the text encoder, ``channels`` the number of latent channels."""
    text = architectures.clip_l()
    embeddings = {name: weight for name, weight in text.items() if ".embeddings." in name}
    return {
        "model": prefixed("model.diffusion_model.", diffusion_model) | prefixed(prefix, embeddings),
        "clip_l": {name: weight for name, weight in text.items() if name not in embeddings},
        "taesd": taesd | architectures.taesd_encoder(channels),
    }


def _text_groups() -> dict[str, dict[str, TensorId]]:
    """Return the matrices and the norms of the text encoder."""
    layers = [f"text_model.encoder.layers.{i}" for i in range(12)]
    matrices = [f"{layer}.{name}" for layer in layers for name in _TEXT_LAYERS]
    norms = [f"{layer}.layer_norm{i}" for layer in layers for i in (1, 2)]
    return {
        "text": {name: ("clip_l", f"{name}.weight") for name in matrices},
        "text-norms": {
            name: ("clip_l", f"{name}.weight") for name in (*norms, "text_model.final_layer_norm")
        },
    }


def _flux_groups() -> dict[str, dict[str, TensorId]]:
    """Return the layers of flux: those of each stream, of the single blocks, the outer ones, and the norms."""

    def group(*names: str, end: str = "weight") -> dict[str, TensorId]:
        return {name: ("model", f"model.diffusion_model.{name}.{end}") for name in names}

    double = [f"double_blocks.{i}" for i in range(_BLOCKS)]
    single = [f"single_blocks.{i}" for i in range(_BLOCKS)]
    parts = ("attn.qkv", "attn.proj", "mlp.0", "mlp.2", "mod.lin")
    attentions = [
        *(f"{block}.{stream}_attn" for block in double for stream in ("img", "txt")),
        *single,
    ]
    return {
        "img": group(*(f"{block}.img_{part}" for block in double for part in parts)),
        "txt": group(*(f"{block}.txt_{part}" for block in double for part in parts)),
        "single": group(
            *(f"{block}.{part}" for block in single for part in ("linear1", "linear2", "modulation.lin"))
        ),
        "outer": group(
            "img_in",
            *(f"{name}_in.{end}_layer" for name in ("time", "vector", "guidance") for end in ("in", "out")),
            "final_layer.linear",
        ),
        # In the group of the whole stream, these layers of the last block have a small share of the effect.
        "last-txt": group(*(f"{double[-1]}.txt_{part}" for part in parts)),
        # Its input is zero without a T5 encoder, so only its bias changes a picture.
        "txt-in": group("txt_in"),
        "final-modulation": group("final_layer.adaLN_modulation.1"),
        "norms": group(*(f"{a}.norm.{n}_norm" for a in attentions for n in ("query", "key")), end="scale"),
    }


def _fused_groups(blocks: int) -> dict[str, dict[str, TensorId]]:
    """Return the fused layers of a flux with so many blocks of each sort."""
    names = {
        "img": [f"double_blocks.{i}.img_attn.qkv" for i in range(blocks)],
        "txt": [f"double_blocks.{i}.txt_attn.qkv" for i in range(blocks)],
        "single": [f"single_blocks.{i}.linear1" for i in range(blocks)],
    }
    return {
        group: {name: ("model", f"model.diffusion_model.{name}.weight") for name in layers}
        for group, layers in names.items()
    }


def _unet_groups(weights: Weights) -> dict[str, dict[str, TensorId]]:
    """Return the layers of the tiny UNet that has these tensors."""

    def group(names: Mapping[str, str]) -> dict[str, TensorId]:
        return {
            name: ("model", f"model.diffusion_model.{ldm}.weight")
            for name, ldm in names.items()
            if f"{ldm}.weight" in weights
        }

    blocks = {f"down_blocks.{i}": [(0, f"input_blocks.{3 * i + 1}")] for i in range(3)} | {
        f"up_blocks.{i}": [(j, f"output_blocks.{3 * i + j}") for j in (0, 1)] for i in range(3)
    }
    resnets = {f"{b}.resnets.{j}": f"{ldm}.0" for b, parts in blocks.items() for j, ldm in parts}
    attentions = {f"{b}.attentions.{j}": f"{ldm}.1" for b, parts in blocks.items() for j, ldm in parts}
    return {
        "attentions": group({f"{a}.{n}": f"{ldm}.{n}" for a, ldm in attentions.items() for n in _ATTENTION}),
        "resnets": group(
            {f"{r}.{n}": f"{ldm}.{old}" for r, ldm in resnets.items() for n, old in _RESNET.items()}
        ),
        "samplers": group(_SAMPLERS),
        "outer": group(_OUTER),
        "norms": group(
            {f"{r}.{n}": f"{ldm}.{old}" for r, ldm in resnets.items() for n, old in _RESNET_NORMS.items()}
            | {f"{a}.{n}": f"{ldm}.{n}" for a, ldm in attentions.items() for n in _ATTENTION_NORMS}
            | {"conv_norm_out": "out.0"}
        ),
    }


FLUX_LAYERS = Base(
    name="flux-layers",
    architecture="flux",
    files=_files(
        "text_encoders.clip_l.transformer.",
        architectures.flux(hidden=128, double=_BLOCKS, single=_BLOCKS, guidance=True, gain=10.0),
        16,
        architectures.taesd(16, contrast=0.07, brightness=(0.75, 0.98, 0.61)),
    ),
    targets={},
    groups={**_flux_groups(), **_text_groups()},
    width=32,
    height=32,
)

#: A small Flux in which queries and keys change the picture by more than rounding does. Their norms keep a large change
#: of a matrix from having a large effect.
FLUX_ATTENTIVE = Base(
    name="flux-attentive",
    architecture="flux",
    files=_files(
        "text_encoders.clip_l.transformer.",
        architectures.flux(hidden=128, double=2, single=2, gain=10.0, sharpness=6),
        16,
        architectures.taesd(16, contrast=0.07, brightness=(0.75, 0.98, 0.61)),
    ),
    targets={},
    groups=_fused_groups(2),
    width=32,
    height=32,
)

SD1_LAYERS = Base(
    name="sd1-layers",
    architecture="sd1",
    files=_files(
        "cond_stage_model.transformer.",
        architectures.sd1_tiny(),
        4,
        architectures.taesd(4, contrast=0.07, brightness=(0.72, 0.95, 0.63)),
    ),
    targets={},
    groups={**_unet_groups(architectures.sd1_tiny()), **_text_groups()},
)
