"""Find the key scheme of a module, by the names of ``harness.adapters.key_schemes``, which expectations use.

``harness.converter.modules.scheme`` names the convention of a whole file in fewer words.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.converter.modules import Module
from harness.layers.components import DIFFUSION

#: The prefixes of keys, and the scheme that each means for the diffusion model.
_PREFIXES = (
    ("lycoris_", "lycoris"),
    ("lora_transformer_", "onetrainer"),
    ("lora_unet_", "kohya"),
    ("lora_te", "kohya"),
    ("base_model.model.", "peft-model"),
    ("text_encoders.", "comfy"),
    ("transformer.", "diffusers"),
    ("unet.", "peft"),
    ("text_encoder", "peft"),
)
#: The family whose fused layers diffusers splits, as ``harness.converter.model_family`` calls it.
FLUX = "FLUX.1"
#: The prefixes of ComfyUI's names of the diffusion model.
_COMFY = ("diffusion_model.", "model.diffusion_model.")
#: What names of LDM begin with, with underscores in place of dots.
_LDM = ("input_blocks_", "middle_block_", "output_blocks_", "time_embed_", "label_emb_", "out_")


def scheme_of(module: Module, component: str, rest: str, *, family: str, unet: bool) -> str:
    """Return the key scheme of a module.

    ``component`` and ``rest`` are those of its key (``harness.layers.components.of_adapter``), ``family`` is that of
    the model, and ``unet`` tells whether the model is one with a UNet. A key without a known prefix has the scheme
    "bare". XLabs' names have the scheme "xlabs", which no case has.
    """
    names = [tensor.name for tensor in module.parts.values()]
    if _any(names, ".lora_A.default", ".lora_B.default"):
        return "peft-default"
    if _any(names, ".processor.", "_lora.", "_lora1.", "_lora2."):
        return "processor" if unet or component != DIFFUSION else "xlabs"
    if _any(names, ".lora.down", ".lora.up", ".lora_linear_layer."):
        return "layer"
    key = module.key
    if key.startswith(_COMFY):
        return "comfy" if not unet or rest.startswith(_LDM) else "peft"
    found = next((scheme for prefix, scheme in _PREFIXES if key.startswith(prefix)), "bare")
    if found == "kohya" and component == DIFFUSION and unet and rest.startswith(_LDM):
        return "ldm"
    return "diffusers-flux" if found == "diffusers" and family == FLUX else found


def _any(names: Iterable[str], *marks: str) -> bool:
    return any(mark in name for name in names for mark in marks)
