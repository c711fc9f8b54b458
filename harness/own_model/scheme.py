"""Find the key scheme of a module, by the names of ``harness.adapters.key_schemes``, which expectations use.

``harness.converter.modules.scheme`` names the convention of a whole file in fewer words.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

from harness.adapters.key_schemes import SCHEMES
from harness.converter.modules import Module
from harness.layers.components import DIFFUSION, T5

#: The prefix of VideoX-Fun's names.
_VIDEOX = "lora_unet__"
#: The prefixes of keys, and the scheme that each means for the diffusion model.
_PREFIXES = (
    ("lycoris_", "lycoris"),
    (_VIDEOX, "videox-fun"),
    ("lora_transformer_", "onetrainer"),
    ("lora_unet_", "kohya"),
    ("lora_te", "kohya"),
    ("base_model.model.", "peft-model"),
    ("text_encoders.", "comfy"),
    ("transformer.", "diffusers"),
    ("unet.", "peft"),
    ("text_encoder", "peft"),
)
#: Families, as ``harness.converter.model_family`` calls them.
FLUX, CHROMA, SD3 = "FLUX.1", "Chroma", "Stable Diffusion 3"
#: The prefixes of ComfyUI's names of the diffusion model.
_COMFY = "diffusion_model."
#: The prefix of whole models, with which no case names an adapter.
_WHOLE = "model.diffusion_model."
#: What names of LDM begin with, with underscores in place of dots.
_LDM = ("input_blocks_", "middle_block_", "output_blocks_", "time_embed_", "label_emb_", "out_")


#: A scheme that no case has: names that are not spelled as any program writes them.
OTHER = "other"
#: The schemes whose names have underscores in place of dots.
_UNDERSCORED = ("kohya", "lycoris", "onetrainer", "ldm", "videox-fun")
#: What a name with underscores has between its parts, such as double_blocks_0_img_attn.
_NUMBER = re.compile(r"_\d+_")


def scheme_of(module: Module, component: str, rest: str, *, family: str, unet: bool) -> str:
    """Return the key scheme of a module.

    ``component`` and ``rest`` are those of its key (``harness.layers.components.of_adapter``), ``family`` is that of
    the model, and ``unet`` tells whether the model is one with a UNet. A key without a known prefix has the scheme
    "bare". XLabs' names have the scheme "xlabs", and names that mix conventions OTHER, which no case has.
    """
    names = [tensor.name for part, tensor in module.parts.items() if part in ("up", "down")]
    whole = unet or component != DIFFUSION
    # Boogu-Image has layers in a module called processor.
    if _any(names, "_lora.", "_lora1.", "_lora2.") or (
        (whole or family == FLUX) and _any(names, ".processor.")
    ):
        return "processor" if whole else "xlabs"
    found = _by_prefix(module.key, component, rest, family=family, unet=unet)
    mixed = "." in module.key if found in _UNDERSCORED else _NUMBER.search(module.key) is not None
    unknown = any(not name.endswith(_suffixes()) for name in names)
    # No trainer writes this prefix for a UNet or Flux.
    name = module.key if unet or family == FLUX else module.key.removeprefix(_VIDEOX)
    if mixed or "__" in name or unknown or module.key.startswith(_WHOLE):
        return OTHER
    if _any(names, ".lora_A.default", ".lora_B.default"):
        return {"peft": "peft-default", "comfy": "peft-default"}.get(found, _ignored(found))
    if _any(names, ".lora.down", ".lora.up", ".lora_linear_layer."):
        return "layer" if found == "peft" else _ignored(found)
    return found


def _ignored(scheme: str) -> str:
    """Return a scheme of which the library knows no name, whatever the suffix; OTHER in place of another one."""
    return scheme if scheme in ("bare", "peft-model") else OTHER


def _by_prefix(key: str, component: str, rest: str, *, family: str, unet: bool) -> str:
    """Return the scheme that the prefix of a key means."""
    if key.startswith(_COMFY):
        # The cases of the other families call these names as those of PEFT, which has the same suffixes.
        published = rest.startswith(_LDM) if unet else family == FLUX
        return "comfy" if published else "peft"
    found = next((scheme for prefix, scheme in _PREFIXES if key.startswith(prefix)), "bare")
    if found == "kohya" and component == DIFFUSION and unet and rest.startswith(_LDM):
        return "ldm"
    if found == "kohya" and component == T5 and family == FLUX and key.startswith("lora_te2_"):
        return "onetrainer"
    return "diffusers-flux" if found == "diffusers" and family in (FLUX, CHROMA) else found


@functools.cache
def _suffixes() -> tuple[str, ...]:
    """Return the suffixes of factors in all schemes of the cases."""
    every = [
        suffixes
        for scheme in SCHEMES.values()
        for suffixes in (scheme.suffixes, *scheme.group_suffixes.values())
    ]
    return tuple({suffixes[factor] for suffixes in every for factor in ("up", "down") if factor in suffixes})


def _any(names: Iterable[str], *marks: str) -> bool:
    return any(mark in name for name in names for mark in marks)
