"""The valid file that all malformed files are made from: two LoRA pairs of rank 4, a few kilobytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache as remember

import numpy as np
from numpy.typing import NDArray

from harness.adapters.adapter import Adapter
from harness.formats.tensor import NUMPY
from harness.malformed.fields import ckpt, gguf, safetensors
from harness.malformed.fields.pieces import Pieces
from harness.models.base_model import Base

RANK = 4
Tensors = dict[str, NDArray[np.generic]]

#: The two weights that the files change. One is not square, so that swapped dimensions are noticed. They are near the
#: end of the model, where they change the picture most.
_TARGETS = {
    "flux-small": ("double_blocks.0.img_mlp.2", "double_blocks.0.img_attn.proj"),
    "sd1-tiny": (
        "up_blocks.2.attentions.0.transformer_blocks.0.ff.net.2",
        "up_blocks.2.attentions.0.transformer_blocks.0.attn1.to_out.0",
    ),
}
#: The metadata of the GGUF files: a string, numbers, an array of numbers and an array of strings.
METADATA: gguf.Metadata = {
    "general.architecture": "lora",
    "general.alignment": gguf.Number("I", 32),
    "test.numbers": gguf.Array("I", (1, 2, 3)),
    "test.strings": gguf.Array("s", ("one", "two")),
    "test.flag": gguf.Number("?", 1),
}
#: Metadata without arrays. For files that ggml refuses, stable-diffusion.cpp has its own reader, which fails at the
#: first array. With this metadata it reads on to the tensors.
FEW: gguf.Metadata = {key: METADATA[key] for key in ("general.architecture", "general.alignment")}


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundFile:
    """The valid tensors for a base model, float16. ``first`` and ``second`` are the keys of their two pairs.

    The order is ``alpha``, ``lora_down``, ``lora_up`` of the first pair, then of the second, so that the file ends with
    the data of a matrix. alpha equals the rank.
    """

    base: Base
    first: str
    second: str
    tensors: Mapping[str, NDArray[np.generic]]

    def only(self, key: str) -> Tensors:
        """Return the tensors of one pair."""
        return {name: array for name, array in self.tensors.items() if name.startswith(f"{key}.")}

    def bfloat16(self) -> Tensors:
        """Return the matrices truncated (not rounded) to bfloat16, without alpha.

        alpha equals the rank, so the adapter stays the same. Some libraries cannot read a bfloat16 alpha, which is
        another question.
        """
        matrices = {n: t for n, t in self.tensors.items() if not n.endswith(".alpha")}
        return {
            name: (array.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).view(NUMPY["BF16"])
            for name, array in matrices.items()
        }

    def gguf(
        self,
        tensors: Mapping[str, NDArray[np.generic]] | None = None,
        metadata: gguf.Metadata = METADATA,
    ) -> Pieces:
        """Return the pieces of a GGUF file of these tensors, or of others."""
        return gguf.build_fields(self.tensors if tensors is None else tensors, metadata)

    def safetensors(self, tensors: Mapping[str, NDArray[np.generic]] | None = None) -> Pieces:
        """Return the pieces of a safetensors file of these tensors, or of others."""
        return safetensors.build_fields(self.tensors if tensors is None else tensors, {"format": "pt"})

    def pickle(self, tensors: Mapping[str, NDArray[np.generic]] | None = None) -> Pieces:
        """Return the pieces of a ckpt's pickle of these tensors, or of others."""
        return ckpt.build_fields(self.tensors if tensors is None else tensors)

    def ckpt(self, pickled: bytes | None = None) -> dict[str, bytes]:
        """Return the members of a ckpt with the storages of these tensors, and their pickle or another one."""
        return ckpt.entries(b"".join(self.pickle().values()) if pickled is None else pickled, self.tensors)


@remember
def sound_file(base: Base) -> SoundFile:
    """Return the valid file for a base model. Base models of the same weights have the same file."""
    targets = _TARGETS.get(base.name) or tuple(base.targets)[:2]
    adapter = Adapter(name="lora-r4", base=base.name, rank=RANK, alpha=float(RANK))
    drawn = adapter.tensors(base)
    first, second = ("lora_unet_" + target.replace(".", "_") for target in targets)
    return SoundFile(
        base=base,
        first=first,
        second=second,
        tensors={
            name: drawn[name].astype(np.float16)
            for key in (first, second)
            for name in (f"{key}.alpha", f"{key}.lora_down.weight", f"{key}.lora_up.weight")
        },
    )
