"""Name the kinds of adapters that the converter does not support.

The parameters are those that the programs store: LyCORIS 4.1 (lycoris/modules, ``weight_list``) and PEFT 0.21
(peft/tuners, ``adapter_layer_names``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from harness.formats.tensor import Tensor

#: For each kind: the parameters of a module that only this kind has.
PARAMETERS: dict[str, tuple[str, ...]] = {
    "OFT": ("oft_blocks", "oft_R", "oft_embedding_R"),
    "BOFT": ("boft_R", "boft_s"),
    "GLoRA": ("a1", "a2", "b1", "b2", "bm", "glora_A", "glora_B", "glora_C", "glora_D", "glora_E"),
    "T-LoRA": ("q_layer", "p_layer", "lambda_layer"),
    "(IA)³": ("on_input", "ia3_l"),
    "VeRA": ("vera_lambda_b", "vera_lambda_d", "vera_A", "vera_B"),
    "PVeRA": ("pvera_lambda_b", "pvera_lambda_d", "pvera_A", "pvera_B"),
    "DyLoRA": ("up_list", "down_list"),
    "AdaLoRA": ("lora_E", "ranknum"),
    "LoRA of an embedding": ("lora_embedding_A", "lora_embedding_B"),
    "FourierFT": ("fourierft_spectrum",),
    "WaveFT": ("waveft_spectrum",),
    "HRA": ("hra_u",),
    "RandLora": ("randlora_lambda", "randlora_gamma", "randlora_A", "randlora_B"),
    "VB-LoRA": ("vblora_logits_A", "vblora_logits_B", "vblora_vector_bank"),
    "C3A": ("c3a_kernel",),
    "SHiRA": ("shira_weight", "shira_indices"),
    "DeLoRA": ("delora_A", "delora_B", "delora_lambda"),
    "MiSS": ("miss_block",),
    "Bone": ("bone_block",),
    "RoAd": ("road_theta", "road_alpha"),
    "GraLoRA": ("gralora_A", "gralora_B", "gralora_A_general", "gralora_B_general"),
    "Poly": ("poly_lora_A", "poly_lora_B", "poly_router"),
    "Lily": ("lily_A", "lily_B", "lily_router"),
    "PSOFT": ("psoft_R",),
    "TinyLoRA": ("tinylora_v",),
    "Uni-LoRA": ("unilora_theta_d",),
    "OSF": ("osf_svd_params",),
    "HiRA": ("hira_A", "hira_B", "hira_embedding_A", "hira_embedding_B"),
    "DEFT": ("deft_P", "deft_R"),
    "PEANuT": ("peanut_A", "peanut_B", "peanut_encoders", "peanut_decoders"),
    "FRoD": ("frod_lambda_l", "frod_lambda_s_values"),
    "AdaMSS": ("adamss_A", "adamss_B"),
    "BEFT": ("beft_bias",),
    "LN tuning": ("ln_tuning_layers",),
    "trained tokens": ("trainable_tokens_delta",),
}
#: Parameters that supported kinds have too. They belong to an unsupported kind in a module of that kind.
_SHARED = ("alpha", "rescale", "weight", "lora_A", "lora_B")
_KINDS = {parameter: kind for kind, parameters in PARAMETERS.items() for parameter in parameters}
#: The name of a module, and a parameter with the name of PEFT's adapter and the number in a list, if there are any.
_NAME = re.compile(
    rf"(?P<key>.+?)\.(?P<parameter>{'|'.join((*_KINDS, *_SHARED))})(?:\.default)?(?:\.\d+)?(?P<end>\.weight)?"
)
#: Names so short that they are parameters only with ``.weight`` after them.
_SHORT = frozenset({"a1", "a2", "b1", "b2", "bm"})


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsupportedKind:
    """A kind of adapter that is not supported, the keys of its modules in a file, and the names of their tensors."""

    name: str
    keys: tuple[str, ...]
    tensors: frozenset[str]


def unsupported(tensors: Iterable[Tensor]) -> list[UnsupportedKind]:
    """Return the kinds in a file that are not supported, the most frequent first."""
    parameters: dict[str, dict[str, Tensor]] = {}
    for tensor in tensors:
        match = _NAME.fullmatch(tensor.name)
        if match and (match["parameter"] not in _SHORT or match["end"]):
            parameters.setdefault(match["key"], {})[tensor.name] = tensor
    found: dict[str, dict[str, list[str]]] = {}
    for key, members in parameters.items():
        kind = _kind(members)
        if kind:
            found.setdefault(kind, {})[key] = list(members)
    kinds = [
        UnsupportedKind(
            name=kind, keys=tuple(keys), tensors=frozenset(name for names in keys.values() for name in names)
        )
        for kind, keys in found.items()
    ]
    return sorted(kinds, key=lambda each: -len(each.keys))


def _kind(members: dict[str, Tensor]) -> str:
    """Return the kind of a module with these tensors, or "" if no tensor tells it."""
    for name, tensor in members.items():
        match = _NAME.fullmatch(name)
        kind = _KINDS.get(match["parameter"]) if match else None
        if kind == "OFT" and len(tensor.shape) == 4:
            return "BOFT"
        if kind:
            return kind
    return ""
