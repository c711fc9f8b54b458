"""Generation A with positional arguments (sdists 0.1.0 to 0.3.0).

``new_sd_ctx`` has 17, 20, 21, 22 or 25 arguments, ``txt2img`` has 16 to 23. Their names are always of the same set, so
this module has a value for each name and passes the values in the order of the revision's header. An argument with
another name is an error. The functions construct a std::string from every text, so NULL crashes; the empty text means
that there is none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdcpp.binding.api.apply_modes import apply_modes, require_only_mode
from sdcpp.binding.api.context import NativeContext, open_context
from sdcpp.binding.api.interface import FILES, Generation, ModelFiles
from sdcpp.binding.api.lora_tags import prompt_with_tags
from sdcpp.binding.declarations import Header
from sdcpp.binding.library import Library
from sdcpp.errors import HeaderUnsupported

#: Arguments of ``new_sd_ctx`` that are always the empty text.
_UNUSED = ("control_net_path_c_str", "embed_dir_c_str", "stacked_id_embed_dir_c_str")


def matches_header(header: Header) -> bool:
    """Return whether a header is of this generation."""
    return {
        "new_sd_ctx",
        "txt2img",
    } <= header.functions.keys() and "sd_ctx_params_init" not in header.functions


class Positional:
    """Opens contexts with a list of arguments, and names adapters in the prompt."""

    generation = "A"

    def __init__(self, library: Library) -> None:
        self.library = library
        library.require(("new_sd_ctx", "free_sd_ctx", "txt2img"))
        self.modes = apply_modes(library.header)

    def arguments(self, function: str, values: Mapping[str, Any]) -> list[Any]:
        """Return the values of a function's arguments in the order of its declaration.

        ``values`` maps names of arguments to values. Raises HeaderUnsupported for an argument without a value.
        """
        names = [argument.name for argument in self.library.header.functions[function].arguments]
        unknown = [name for name in names if name not in values]
        if unknown:
            raise HeaderUnsupported(
                f"{function} has unknown arguments",
                ", ".join(unknown),
                "add their values to sdcpp/binding/api/positional.py",
            )
        return [values[name] for name in names]

    def open(
        self,
        files: ModelFiles,
        *,
        mode: str,
        threads: int,
        lora_dir: Path,
        options: Mapping[str, Any] | None = None,
    ) -> NativeContext:
        """Load a base model; see ``Api.open``. ``options`` maps further arguments to values."""
        require_only_mode(mode)
        paths = {argument: getattr(files, name) for name, argument in FILES.items()}
        declared = {argument.name for argument in self.library.header.functions["new_sd_ctx"].arguments}
        for name in [*(name for name, path in paths.items() if path), *(options or {})]:
            if name not in declared:
                raise HeaderUnsupported("new_sd_ctx has no argument", name, "leave it out for this revision")
        values = {
            **dict.fromkeys(_UNUSED, b""),
            **{name: os.fsencode(path) if path else b"" for name, path in paths.items()},
            "lora_model_dir": os.fsencode(lora_dir),
            "vae_decode_only": True,
            "vae_tiling": False,
            "free_params_immediately": False,
            "n_threads": threads,
            "wtype": self.library.enum("SD_TYPE_COUNT"),
            "rng_type": self.library.enum("CUDA_RNG"),
            "s": self.library.enum("DISCRETE"),
            "keep_clip_on_cpu": False,
            "keep_control_net_cpu": False,
            "keep_vae_on_cpu": False,
            "diffusion_flash_attn": False,
            "chroma_use_dit_mask": True,
            "chroma_use_t5_mask": False,
            "chroma_t5_mask_pad": 1,
            **(options or {}),
        }
        return open_context(
            self,
            lambda: self.library.call("new_sd_ctx", *self.arguments("new_sd_ctx", values)),
            lambda pointer, generation: self.generate_images(pointer, generation, lora_dir),
            "txt2img",
        )

    def generate_images(self, pointer: Any, generation: Generation, lora_dir: Path) -> Any:
        """Return a pointer to the images, or None.

        Raises HeaderUnsupported for img2img, reference pictures and videos.
        """
        for name, given in (
            ("init_image", generation.init_image is not None),
            ("ref_images", bool(generation.ref_images)),
            ("video", generation.video),
        ):
            if given:
                raise HeaderUnsupported("txt2img has no argument", name, "leave it out for this revision")
        values = {
            "sd_ctx": pointer,
            "prompt": prompt_with_tags(generation, lora_dir),
            "negative_prompt": generation.negative_prompt.encode(),
            "clip_skip": generation.clip_skip or -1,
            "cfg_scale": generation.cfg_scale,
            "guidance": 3.5,
            "eta": 0.0,
            "width": generation.width,
            "height": generation.height,
            "sample_method": self.library.enum("EULER"),
            "sample_steps": generation.steps,
            "seed": generation.seed,
            "batch_count": generation.batch_count,
            "control_cond": None,
            "control_strength": 0.9,
            "style_strength": 20.0,
            "normalize_input": False,
            "input_id_images_path": b"",
            "skip_layers": None,
            "skip_layers_count": 0,
            "slg_scale": 0.0,
            "skip_layer_start": 0.01,
            "skip_layer_end": 0.2,
        }
        return self.library.call("txt2img", *self.arguments("txt2img", values))
