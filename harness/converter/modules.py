"""Which tensors of a file belong together, what kind of adapter they make, and under whose names.

Names: kohya-ss/sd-scripts (networks/lora.py), huggingface/peft and diffusers (loaders/lora_conversion_utils.py),
KohakuBlueleaf/LyCORIS (lycoris/modules).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.formats.tensor import Tensor

#: What tensor names end in, and the part that such a tensor plays. Longest first.
KEY_SUFFIXES = {
    ".lora_linear_layer.down.weight": "down",
    ".lora_linear_layer.up.weight": "up",
    ".lora_A.default.weight": "down",
    ".lora_B.default.weight": "up",
    "_lora.down.weight": "down",
    "_lora.up.weight": "up",
    "_lora.alpha": "alpha",
    ".lora.down.weight": "down",
    ".lora.up.weight": "up",
    ".lora_down.weight": "down",
    ".lora_up.weight": "up",
    ".lora_mid.weight": "mid",
    ".lora_A.weight": "down",
    ".lora_B.weight": "up",
    ".lora_A": "down",
    ".lora_B": "up",
    ".lora_down": "down",
    ".lora_up": "up",
    ".alpha": "alpha",
    ".scale": "scale",
    ".dora_scale": "dora",
    ".lora_magnitude_vector.weight": "dora",
    ".lora_magnitude_vector": "dora",
    ".diff_b": "diff_b",
    ".diff": "diff",
    **{
        f".{name}": name
        for name in (
            "hada_w1_a",
            "hada_w1_b",
            "hada_w2_a",
            "hada_w2_b",
            "hada_t1",
            "hada_t2",
            "lokr_w1",
            "lokr_w1_a",
            "lokr_w1_b",
            "lokr_w2",
            "lokr_w2_a",
            "lokr_w2_b",
            "lokr_t2",
        )
    },
}
#: The part that tells whose scheme the names follow.
_SCHEMES = (
    ("lora_unet_", "kohya"),
    ("lora_te", "kohya"),
    ("lora_transformer_", "kohya"),
    ("lycoris_", "lycoris"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """The tensors that change one weight, by the part they play ("up", "down", "alpha" ...).

    ``key`` is the common beginning of their names, ``kind`` one of lora, tucker, loha, lokr, full, bias, or
    "incomplete" with the missing part in ``lack``.
    """

    key: str
    parts: Mapping[str, Tensor]
    kind: str
    lack: str = ""

    @property
    def rank(self) -> int | None:
        """The inner width of the factors, or None where there are no factors."""
        for part, axis in (("down", 0), ("hada_w1_b", 0), ("lokr_w2_b", 0), ("lokr_w1_b", 0)):
            if part in self.parts and self.parts[part].shape:
                return self.parts[part].shape[axis]
        return None

    @property
    def dora(self) -> bool:
        """Whether the result is renormalised by columns (https://arxiv.org/abs/2402.09353)."""
        return "dora" in self.parts

    @property
    def convolution(self) -> bool:
        """Whether the weight that is changed is one of a convolution."""
        return any(len(t.shape) > 2 for name, t in self.parts.items() if name not in ("alpha", "dora"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A file's modules by key, and the tensors that belong to none."""

    modules: Mapping[str, Module]
    strangers: tuple[Tensor, ...]


def split(name: str) -> tuple[str, str] | None:
    """Return a tensor name's key and part, or None for a name that no adapter has."""
    for suffix, part in KEY_SUFFIXES.items():
        if name.endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)], part
    return None


def layout(tensors: Iterable[Tensor]) -> Layout:
    """Return how the tensors of an adapter file belong together."""
    groups: dict[str, dict[str, Tensor]] = {}
    strangers = []
    for tensor in tensors:
        found = split(tensor.name)
        if found is None:
            strangers.append(tensor)
        else:
            groups.setdefault(found[0], {})[found[1]] = tensor
    modules = {key: _module(key, parts) for key, parts in groups.items()}
    return Layout(modules=modules, strangers=tuple(strangers))


def _module(key: str, parts: dict[str, Tensor]) -> Module:
    names = set(parts)
    if names & {"up", "down", "mid"}:
        kind, needed = ("tucker" if "mid" in names else "lora"), [{"up"}, {"down"}]
    elif any(name.startswith("hada") for name in names):
        kind, needed = "loha", [{f"hada_w{i}_{part}"} for i in (1, 2) for part in "ab"]
    elif any(name.startswith("lokr") for name in names):
        kind = "lokr"
        needed = [{f"lokr_w{i}", f"lokr_w{i}_a"} for i in (1, 2)]
        needed += [{f"lokr_w{i}", f"lokr_w{i}_b"} for i in (1, 2)]
    elif "diff" in names:
        kind, needed = "full", []
    elif "diff_b" in names:
        kind, needed = "bias", []
    else:
        kind, needed = "incomplete", [{"up"}, {"down"}]
    lacking = next((sorted(options)[0] for options in needed if not options & names), "")
    return Module(key=key, parts=parts, kind="incomplete" if lacking else kind, lack=lacking)


def scheme(names: Iterable[str]) -> str:
    """Return whose names a file's tensors have: kohya, lycoris, peft, diffusers (old), dotted or unknown."""
    found: dict[str, int] = {}
    for name in names:
        found[_scheme(name)] = found.get(_scheme(name), 0) + 1
    return max(found, key=lambda word: found[word]) if found else "unknown"


def _scheme(name: str) -> str:
    for prefix, word in _SCHEMES:
        if name.startswith(prefix):
            return word
    if split(name) is None:
        return "unknown"
    if ".lora_A" in name or ".lora_B" in name:
        return "peft"
    if "_lora." in name or ".lora." in name or "lora_linear_layer" in name:
        return "diffusers"
    return "dotted"
