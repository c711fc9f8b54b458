"""What unpatched revisions of stable-diffusion.cpp can apply in every mode, and under which names.

Kinds, containers and types are looked up in ``harness/expectations.toml`` as cases. The names are those that work in
the cases of ``harness.cases.layers`` and in the records of the model families (docs/names.md).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.cases.case import MODES
from harness.converter.naming import KOHYA, Naming
from harness.judging import expectation
from harness.judging.expectation import Expectation
from harness.layers.components import CLIP_1, CLIP_2, DIFFUSION
from harness.layers.flux import CHROMA, FLUX
from harness.layers.layer import Family
from harness.layers.other_transformers import QWEN_IMAGE, Z_IMAGE
from harness.layers.rare_transformers import LENS, PID
from harness.layers.recent_transformers import ERNIE_IMAGE, KREA2, LONGCAT_IMAGE, OVIS_IMAGE
from harness.layers.sd3 import SD3
from harness.layers.trainers import BY_NAME, COMFY, NUMBERED
from harness.layers.unet import UNET
from harness.text import did_you_mean, listed
from sdcpp.errors import UnknownRevision

#: The value of ``--for`` that means every revision with expectations.
UNPATCHED = "unpatched"
#: The float types that every revision reads.
FLOATS = ("F32", "F16", "BF16")
#: The smallest rank that every revision applies rightly.
SMALLEST_RANK = 2
#: The forms in which a change can be stored, by the class of ``weight_change``, the smallest file first.
FORMS = {"LowRank": ("lora",), "Product": ("loha", "diff"), "Kronecker": ("lokr", "diff"), "Dense": ("diff",)}
#: The families whose fused layers every revision also reads in pieces, under the names of diffusers. A missing piece is
#: a defect of the library, so all pieces must be there (docs/findings.md: Split q and v without k spoil the fused
#: weight).
IN_PIECES: tuple[Family, ...] = (FLUX, CHROMA, SD3, Z_IMAGE)
#: The families whose blocks every revision that has them finds under the dotted names of diffusers (docs/names.md).
FOUND_IN_DIFFUSERS: tuple[Family, ...] = (
    *IN_PIECES,
    *(ERNIE_IMAGE, KREA2, LENS, LONGCAT_IMAGE, OVIS_IMAGE, QWEN_IMAGE),
)
#: The families for which files rewritten for a revision were tried with pictures (docs/twins.md), by revision.
MEASURED: Mapping[str, frozenset[str]] = {
    "2025-12": frozenset({"SD 1, SD 2 or SDXL"}),
    "2026-05": frozenset({"SD 1, SD 2 or SDXL", "Flux.1"}),
    "2026-07": frozenset(
        (
            *("SD 1, SD 2 or SDXL", "SD 3", "Flux.1", "Flux.2", "Chroma", "Z-Image", "Qwen-Image", "Wan"),
            *("Anima", "Krea 2", "Ernie-Image", "Ovis-Image", "Lens", "MiniT2I", "HunyuanVideo"),
            *("Ideogram 4", "LingBot-Video", "PiD"),
        )
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreachable:
    """Layers that no name or no mode of an unpatched revision reaches. ``layers`` is a regular expression.

    ``unet`` says whether they belong to a model with a UNet. A file of text encoders alone may be for such a model.
    """

    component: str
    unet: bool
    layers: str
    reason: str


UNREACHABLE = (
    Unreachable(
        component=DIFFUSION,
        unet=True,
        layers=r"time_embed_\d|label_emb_\d_\d",
        reason="the library turns time_embed and label_emb into time.embed and label.emb under every name "
        "(docs/findings.md: time_embed of a UNet is not found)",
    ),
    *(
        Unreachable(
            component=clip,
            unet=True,
            layers=r"transformer_resblocks_\d+_ln_[12]|ln_final",
            reason="the library turns layer_norm into layer.norm in every name for a model with a UNet, and a file of "
            "text encoders alone may be for one (sdcpp study twins --case 'layers-text-norms-*')",
        )
        for clip in (CLIP_1, CLIP_2)
    ),
    Unreachable(
        component=DIFFUSION,
        unet=False,
        layers=r".*_processor_.*",
        reason="the library removes the word processor from names "
        "(docs/findings.md: Boogu-Image's joint attention has no effect)",
    ),
    Unreachable(
        component=DIFFUSION,
        unet=False,
        layers=r"language_model_layers_.*|t_embedder1_mlp_[02]|x_embedder_proj[12]|final_layer2_linear",
        reason="in mode at_runtime the library looks for the prefix model.diffusion_model alone, which this layer "
        "lacks (docs/findings.md: No LoRA of HiDream-O1 has an effect)",
    ),
    Unreachable(
        component=DIFFUSION,
        unet=False,
        layers=r".*(norm|norm[123]|(query|key|q|k)_norm|norm_(added_)?[qk]|norm_k_img|ln_[qk])(_\d+)?",
        reason="norms of a transformer do not ask the adapters for their weight at run time "
        "(docs/findings.md: Differences of norms have no effect)",
    ),
)


class Limits:
    """What all of some revisions can do without patches, in every apply mode, on the CPU."""

    def __init__(self, revisions: Sequence[str]) -> None:
        self.revisions = tuple(revisions)

    def promise(self, family: Family | None) -> str:
        """Return what the revisions do with a rewritten file, as a sentence.

        ``family`` is that of the diffusion model that the file changes, or None if the tables of layers lack it.
        """
        whose = " and ".join(self.revisions)
        verb = "applies" if len(self.revisions) == 1 else "apply"
        name = family.name if family else "this model"
        unknown = [revision for revision in self.revisions if name not in MEASURED.get(revision, ())]
        note = f"; the names of {name} were not measured on {', '.join(unknown)}" if unknown else ""
        return f"without patches, {whose} {verb} this file in every mode{note}"

    def form(self, change: str, targets: str, *, unet: bool) -> tuple[str, str]:
        """Return the kind in which a change can be stored, or "" and the reason why there is none.

        ``change`` is a key of FORMS. ``targets`` are "linear", "conv1x1", "conv3x3" or "text".
        """
        reason = ""
        for kind in FORMS[change]:
            reason = self._why_not(kind, targets, unet=unet)
            if not reason:
                return kind, ""
        return "", reason

    def _why_not(self, kind: str, targets: str, *, unet: bool) -> str:
        """Return why a kind fails in some mode, or "" if it does not."""
        place = "" if targets == "linear" else f"-{targets}"
        facts = {"base": "sd1-tiny" if unet else "flux-small", "kind": kind, "targets": targets}
        return self._failure(f"{kind}{place}-safetensors-F32", _DIMENSIONS | facts)

    def why_no_container(self, container: str) -> str:
        """Return why a container with float tensors is not read, or "" if it is."""
        if container == "ckpt":
            return "not every revision reads ckpt files, and 2025-12 ignores those of mixed types"
        return self._failure(
            f"{container}-F32", _DIMENSIONS | {"base": "sd1-tiny", "kind": "lora", "container": container}
        )

    def why_no_type(self, kind: str) -> str:
        """Return why factors of a type are not applied in every mode, or "" if they are."""
        if kind in FLOATS:
            return ""
        facts = {"base": "sd1-tiny", "kind": "lora", "container": "gguf", "type": kind}
        return self._failure(f"lora-gguf-{kind}", _DIMENSIONS | facts)

    def _failure(self, case: str, facts: Mapping[str, str]) -> str:
        """Return the reason of the first expectation that says that a case fails, or ""."""
        for revision in self.revisions:
            for mode in MODES:
                entry = expectation.first_match(
                    _expected(),
                    patches=(),
                    revision=revision,
                    backend="cpu",
                    case=case,
                    dimensions={**facts, "mode": mode},
                )
                if entry is not None:
                    return f"{revision}, {mode}: {entry.reason}"
        return ""

    @staticmethod
    def naming(family: Family | None, component: str) -> Naming:
        """Return the names that every revision understands.

        - A UNet: those of sd-scripts. The library reads published and diffusers' names of blocks under this prefix.
        - Other diffusion models: the published names behind "diffusion_model." and, of PiD, the prefix of its layers.
        - Text encoders: the library's own names. A model with a UNet understands those of sd-scripts only.
        """
        if component == DIFFUSION:
            return _UNET if family is UNET else _PID if family is PID else _TRANSFORMER
        return _TEXT if family in (UNET, None) else _OWN_TEXT

    @staticmethod
    def unreachable(family: Family | None, component: str, layer: str) -> str:
        """Return why a layer cannot be changed, or "" if it can. ``layer`` is its published name with underscores."""
        return next(
            (
                each.reason
                for each in UNREACHABLE
                if each.component == component
                and each.unet == (family is UNET or (family is None and component != DIFFUSION))
                and re.fullmatch(each.layers, layer)
            ),
            "",
        )


_DIMENSIONS = {
    "container": "safetensors",
    "type": "F32",
    "rank": "16",
    "targets": "linear",
    "scheme": "kohya",
    "multiplier": "1",
}
_UNET = Naming(
    prefixes={DIFFUSION: BY_NAME["kohya"].prefix}, diffusers=True, underscores=True, suffixes=KOHYA
)
_TRANSFORMER = Naming(
    prefixes={DIFFUSION: BY_NAME["comfy"].prefix}, diffusers=False, underscores=False, suffixes=KOHYA
)
_PID = replace(_TRANSFORMER, prefixes={DIFFUSION: f"{_TRANSFORMER.prefixes[DIFFUSION]}net."})
_TEXT = Naming(prefixes=NUMBERED, diffusers=True, underscores=True, suffixes=KOHYA)
_OWN_TEXT = Naming(prefixes=COMFY, diffusers=True, underscores=False, suffixes=KOHYA)
#: The layers outside the blocks of a UNet, which are found under their published names alone (docs/findings.md: Outer
#: layers of a UNet have no effect under diffusers' names).
OUTER_OF_UNET = re.compile(r"input_blocks_0_0|out_[02]")
#: Pieces of diffusers, in the dotted form that the library reads for every family of IN_PIECES.
PIECES = Naming(
    prefixes={DIFFUSION: BY_NAME["diffusers"].prefix}, diffusers=True, underscores=False, suffixes=KOHYA
)


def known_revisions() -> tuple[str, ...]:
    """Return the revisions that have expectations, in alphabetical order."""
    return tuple(sorted({name for entry in _expected() for name in entry.revisions}))


def limits(name: str) -> Limits:
    """Return the limits of the revision ``name``, or of all for ``unpatched``. Raises UnknownRevision."""
    known = known_revisions()
    if name == UNPATCHED:
        return Limits(known)
    if name not in known:
        raise UnknownRevision(
            "no measurements of this revision",
            name,
            f"use one of {listed((*known, UNPATCHED), len(known) + 1)}{did_you_mean(name, (*known, UNPATCHED))}",
        )
    return Limits((name,))


@functools.cache
def _expected() -> tuple[Expectation, ...]:
    return tuple(expectation.load())
