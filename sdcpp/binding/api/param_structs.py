"""The base class of the generations with parameter structs (sdist 0.3.1 and later).

``new_sd_ctx(sd_ctx_params_t*)`` returns a context. ``generate_image(sd_ctx_t*, sd_img_gen_params_t*)`` returns images
that the caller must free. Upstream's ``*_init`` functions fill the structs with defaults, and members are then set by
name. A member that this project does not know keeps upstream's default.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sdcpp.binding.api import context_options
from sdcpp.binding.api.apply_modes import apply_modes, unknown_mode
from sdcpp.binding.api.context import NativeContext, open_context
from sdcpp.binding.api.context_options import CONTEXT, IMAGE
from sdcpp.binding.api.interface import FILES, Generation, ModelFiles, Picture
from sdcpp.binding.declarations import Named
from sdcpp.binding.library import Library
from sdcpp.errors import HeaderUnsupported

VIDEO = "sd_vid_gen_params_t"


class ParamsApi:
    """Opens contexts with sd_ctx_params_t. Each generation is a subclass that passes adapters in its own way."""

    generation = "?"

    def __init__(self, library: Library) -> None:
        self.library = library
        library.require(
            ("sd_ctx_params_init", "new_sd_ctx", "free_sd_ctx", "sd_img_gen_params_init", "generate_image")
        )
        self.modes = apply_modes(library.header)

    def set_apply_mode(self, params: Any, mode: str) -> None:
        """Set the LoRA apply mode of context parameters; raises HeaderUnsupported if the header lacks the mode."""
        if mode not in self.modes:
            raise unknown_mode(mode, self.modes)
        self.set_member(params, "lora_apply_mode", f"LORA_APPLY_{mode.upper()}")

    def set_lora_folder(self, params: Any, lora_dir: Path) -> None:
        """Set the folder of adapters in context parameters, if this generation has one."""

    def set_loras(self, params: Any, generation: Generation, lora_dir: Path) -> list[Any]:
        """Set the prompt and the adapters of image parameters.

        Returns the objects that must not be freed before the C function has returned.
        """
        raise NotImplementedError

    def context_params(
        self, files: ModelFiles, *, mode: str, threads: int, lora_dir: Path, options: Mapping[str, Any]
    ) -> Any:
        """Return an sd_ctx_params_t with these settings; raises HeaderUnsupported for a member that it lacks."""
        params = self.library.struct(CONTEXT)()
        self.library.call("sd_ctx_params_init", ctypes.byref(params))
        for name, member in FILES.items():
            path = getattr(files, name)
            if path is not None:
                self.set_member(params, member, os.fsencode(path))
        self.set_apply_mode(params, mode)
        # A context makes several pictures, and it usually encodes none. Since 2026-06 these members no longer exist.
        defaults = {"free_params_immediately": False, "vae_decode_only": True}
        available = {
            name: value for name, value in defaults.items() if self.library.header.has_field(CONTEXT, name)
        }
        chosen = context_options.members(self.library.header, options)
        for member, value in {"n_threads": threads, **available, **chosen}.items():
            self.set_member(params, member, value)
        self.set_lora_folder(params, lora_dir)
        return params

    def set_member(self, params: Any, member: str, value: Any) -> None:
        """Set a member of a struct; raises HeaderUnsupported if the struct lacks it.

        For a member of an enum type, a string is the name of an enumerator.
        """
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

    def image_params(
        self, generation: Generation, lora_dir: Path, options: Mapping[str, Any] = MappingProxyType({})
    ) -> tuple[Any, list[Any]]:
        """Return the parameters of a picture or a video, and the objects that they point to.

        ``options`` are the options of the context; those that the revision sets for each picture are set.
        Raises LibraryUnusable for a video if the library makes none.
        """
        if generation.video:
            initialise = self.library.function("sd_vid_gen_params_init")
            params = self.library.struct(VIDEO)()
            initialise(ctypes.byref(params))
            params.video_frames = 1
        else:
            params = self.library.struct(IMAGE)()
            self.library.call("sd_img_gen_params_init", ctypes.byref(params))
            params.batch_count = generation.batch_count
        params.width, params.height, params.seed = generation.width, generation.height, generation.seed
        if generation.clip_skip:
            self.set_member(params, "clip_skip", generation.clip_skip)
        # In sdist 0.3.1 these are members of the image parameters, and the scheduler is one of the context parameters.
        sample = params.sample_params if self.library.header.has_field(IMAGE, "sample_params") else params
        sample.sample_steps = generation.steps
        sample.sample_method = self.library.enum("EULER_SAMPLE_METHOD", "EULER")
        # Without a discrete scheduler in the header, the default of the revision stays.
        known = self.library.header.enumerators()
        scheduler = next((known[n] for n in ("DISCRETE_SCHEDULER", "DISCRETE") if n in known), None)
        if scheduler is not None and sample is not params:
            sample.scheduler = scheduler
        sample.guidance.txt_cfg = generation.cfg_scale
        if self.library.header.has_field(IMAGE, "input_id_images_path"):
            # Sdists 0.3.1 and 0.3.2 construct a std::string from it, which crashes with the NULL of upstream's init.
            params.input_id_images_path = b""
        if generation.negative_prompt:
            self.set_member(params, "negative_prompt", generation.negative_prompt)
        for member, value in context_options.picture_members(self.library.header, options).items():
            self.set_member(params, member, value)
        pixels = []
        if start := generation.init_image:
            # A white mask changes the whole picture. Upstream's program always passes one, and 2025-12 requires it.
            white = b"\xff" * (start.width * start.height)
            mask = Picture(width=start.width, height=start.height, channels=1, data=white)
            pixels = [self.set_image(params, "init_image", start), self.set_image(params, "mask_image", mask)]
            self.set_member(params, "strength", generation.strength)
        if generation.ref_images:
            pixels += self.set_ref_images(params, generation.ref_images)
        return params, [*pixels, *self.set_loras(params, generation, lora_dir)]

    def set_image(self, params: Any, member: str, picture: Picture) -> Any:
        """Set a member that is an image, and return the pixels that the C function reads."""
        image, pixels = self.image(picture)
        self.set_member(params, member, image)
        return pixels

    def set_ref_images(self, params: Any, pictures: Sequence[Picture]) -> list[Any]:
        """Set the reference pictures, and return the objects that the C function reads.

        Raises HeaderUnsupported if the parameters have none.
        """
        made = [self.image(picture) for picture in pictures]
        images = (self.library.struct("sd_image_t") * len(made))(*(image for image, _ in made))
        self.set_member(params, "ref_images", images)
        self.set_member(params, "ref_images_count", len(made))
        return [images, *(pixels for _, pixels in made)]

    def image(self, picture: Picture) -> tuple[Any, Any]:
        """Return an sd_image_t, and the pixels that it points to."""
        image = self.library.struct("sd_image_t")()
        image.width, image.height, image.channel = picture.width, picture.height, picture.channels
        pixels = ctypes.create_string_buffer(picture.data, len(picture.data))
        image.data = ctypes.cast(pixels, type(image.data))
        return image, pixels

    def open(
        self,
        files: ModelFiles,
        *,
        mode: str,
        threads: int,
        lora_dir: Path,
        options: Mapping[str, Any] | None = None,
    ) -> NativeContext:
        """Load a base model; see ``Api.open``."""
        given = options or {}
        params = self.context_params(files, mode=mode, threads=threads, lora_dir=lora_dir, options=given)
        return open_context(
            self,
            lambda: self.library.call("new_sd_ctx", ctypes.byref(params)),
            lambda pointer, generation: self.generate_images(pointer, generation, lora_dir, given),
            "generate_image",
        )

    def generate_images(
        self, pointer: Any, generation: Generation, lora_dir: Path, options: Mapping[str, Any]
    ) -> Any:
        """Return a pointer to the images, or None; raises HeaderUnsupported for a video."""
        if generation.video:
            raise HeaderUnsupported(
                "videos are not supported with this generation of the API",
                self.generation,
                "choose a revision from 2026-07 on",
            )
        params, alive = self.image_params(generation, lora_dir, options)
        images = self.library.call("generate_image", pointer, ctypes.byref(params))
        del alive
        return images
