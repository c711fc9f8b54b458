"""What the generations with parameter structs have in common (sdist 0.3.1 and later).

``new_sd_ctx(sd_ctx_params_t*)`` makes a context, ``generate_image(sd_ctx_t*, sd_img_gen_params_t*)``
returns images that are the caller's to free. Members are set by name on structs that upstream's own
``*_init`` functions filled, so a member this project does not know keeps upstream's default.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdcpp.binding.api.apply_modes import apply_modes, unknown_mode
from sdcpp.binding.api.context import NativeContext, open_context
from sdcpp.binding.api.interface import FILES, Generation, ModelFiles
from sdcpp.binding.declarations import Named
from sdcpp.binding.library import Library
from sdcpp.errors import HeaderUnsupported

CONTEXT, IMAGE = "sd_ctx_params_t", "sd_img_gen_params_t"


class ParamsApi:
    """Opens contexts by sd_ctx_params_t; a generation is a subclass that says how adapters are named."""

    generation = "?"

    def __init__(self, library: Library) -> None:
        self.library = library
        library.require(
            ("sd_ctx_params_init", "new_sd_ctx", "free_sd_ctx", "sd_img_gen_params_init", "generate_image")
        )
        self.modes = apply_modes(library.header)

    def place_mode(self, params: Any, mode: str) -> None:
        """Tell the context parameters how adapters are to be applied; raises HeaderUnsupported."""
        if mode not in self.modes:
            raise unknown_mode(mode, self.modes)
        self.set(params, "lora_apply_mode", f"LORA_APPLY_{mode.upper()}")

    def place_folder(self, params: Any, lora_dir: Path) -> None:
        """Tell the context parameters where adapters lie, if this generation wants to know."""

    def name_loras(self, params: Any, generation: Generation, lora_dir: Path) -> list[Any]:
        """Set prompt and adapters of the image parameters; return what must outlive the call."""
        raise NotImplementedError

    def context_params(
        self, files: ModelFiles, *, mode: str, threads: int, lora_dir: Path, options: Mapping[str, Any]
    ) -> Any:
        """Return a filled sd_ctx_params_t; raises HeaderUnsupported for a member the header does not have."""
        params = self.library.struct(CONTEXT)()
        self.library.call("sd_ctx_params_init", ctypes.byref(params))
        for name, member in FILES.items():
            path = getattr(files, name)
            if path is not None:
                self.set(params, member, os.fsencode(path))
        self.place_mode(params, mode)
        # Contexts are used again, and only images are made. Since 2026-06 that is no choice any more.
        defaults = {"free_params_immediately": False, "vae_decode_only": True}
        there = {
            name: value for name, value in defaults.items() if self.library.header.has_field(CONTEXT, name)
        }
        for member, value in {"n_threads": threads, **there, **options}.items():
            self.set(params, member, value)
        self.place_folder(params, lora_dir)
        return params

    def set(self, params: Any, member: str, value: Any) -> None:
        """Set a member; a string given for an enum is the enumerator's name, for a text the text."""
        struct = self.library.header.struct(type(params).__name__)
        kind = next((f.type for f in (struct.fields if struct else None) or () if f.name == member), None)
        if kind is None:
            raise HeaderUnsupported(
                f"{type(params).__name__} has no member", member, "leave it out for this revision"
            )
        if isinstance(value, str):
            enum = isinstance(kind, Named) and kind.kind == "enum"
            value = self.library.enum(value) if enum else value.encode()
        setattr(params, member, value)

    def image_params(self, generation: Generation, lora_dir: Path) -> tuple[Any, list[Any]]:
        """Return a filled sd_img_gen_params_t and what must stay alive as long as it."""
        params = self.library.struct(IMAGE)()
        self.library.call("sd_img_gen_params_init", ctypes.byref(params))
        params.width, params.height = generation.width, generation.height
        params.seed, params.batch_count = generation.seed, 1
        if generation.clip_skip:
            self.set(params, "clip_skip", generation.clip_skip)
        # Sdist 0.3.1 has these members in the image parameters themselves, and its scheduler in the context's.
        sample = params.sample_params if self.library.header.has_field(IMAGE, "sample_params") else params
        sample.sample_steps = generation.steps
        sample.sample_method = self.library.enum("EULER_SAMPLE_METHOD", "EULER")
        # A header without a discrete scheduler has another default, which then is what its users get.
        known = self.library.header.enumerators()
        scheduler = next((known[n] for n in ("DISCRETE_SCHEDULER", "DISCRETE") if n in known), None)
        if scheduler is not None and sample is not params:
            sample.scheduler = scheduler
        sample.guidance.txt_cfg = generation.cfg_scale
        if self.library.header.has_field(IMAGE, "input_id_images_path"):
            # Sdists 0.3.1 and 0.3.2 make a std::string of it, and upstream's own init leaves it null.
            params.input_id_images_path = b""
        return params, self.name_loras(params, generation, lora_dir)

    def open(
        self,
        files: ModelFiles,
        *,
        mode: str,
        threads: int,
        lora_dir: Path,
        options: Mapping[str, Any] | None = None,
    ) -> NativeContext:
        """Load a base model; see Api.open."""
        params = self.context_params(
            files, mode=mode, threads=threads, lora_dir=lora_dir, options=options or {}
        )
        return open_context(
            self,
            lambda: self.library.call("new_sd_ctx", ctypes.byref(params)),
            lambda pointer, generation: self.paint(pointer, generation, lora_dir),
            "generate_image",
        )

    def paint(self, pointer: Any, generation: Generation, lora_dir: Path) -> Any:
        """Return the list of images, or nothing."""
        params, alive = self.image_params(generation, lora_dir)
        images = self.library.call("generate_image", pointer, ctypes.byref(params))
        del alive
        return images
