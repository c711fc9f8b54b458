"""What the generations with parameter structs have in common (sdists 0.3.1 to 0.4.7).

``new_sd_ctx(sd_ctx_params_t*)`` makes a context, ``generate_image(sd_ctx_t*, sd_img_gen_params_t*)``
returns images that are the caller's to free. Members are set by name on structs that upstream's own
``*_init`` functions filled, so a member this project does not know keeps upstream's default.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sdcpp import ggml
from sdcpp.api.evidence import decide
from sdcpp.api.protocol import Generation, ModelFiles, Picture, Refused
from sdcpp.declaration import Header, Named
from sdcpp.errors import HeaderUnsupported
from sdcpp.library import Library, LogLine

CONTEXT, IMAGE = "sd_ctx_params_t", "sd_img_gen_params_t"
#: Members of ModelFiles and where they go.
_FILES = {
    "model": "model_path",
    "diffusion_model": "diffusion_model_path",
    "clip_l": "clip_l_path",
    "clip_g": "clip_g_path",
    "t5xxl": "t5xxl_path",
    "vae": "vae_path",
    "taesd": "taesd_path",
}
_MODE = re.compile(r"LORA_APPLY_(\w+)")


def modes(header: Header) -> tuple[str, ...]:
    """Return the apply modes that the header's enum names, in its order."""
    enum = header.enums.get("lora_apply_mode_t")
    found = [
        match.group(1).lower() for name in (enum.values if enum else ()) if (match := _MODE.fullmatch(name))
    ]
    return tuple(name for name in found if name != "mode_count")


def complaints(lines: list[LogLine]) -> tuple[str, ...]:
    """Return the warnings and errors among log lines."""
    return tuple(line.text for line in lines if line.level in ("warn", "error"))


class ParamsApi:
    """Opens contexts by sd_ctx_params_t; a generation is a subclass that says how adapters are named."""

    generation = "?"

    def __init__(self, library: Library) -> None:
        self.library = library
        library.require(
            ("sd_ctx_params_init", "new_sd_ctx", "free_sd_ctx", "sd_img_gen_params_init", "generate_image")
        )
        self.modes = modes(library.header)

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
        for name, member in _FILES.items():
            path = getattr(files, name)
            if path is not None:
                self.set(params, member, os.fsencode(path))
        if mode not in self.modes:
            raise HeaderUnsupported(
                "revision has no LoRA apply mode", mode, f"it has {', '.join(self.modes)}"
            )
        self.set(params, "lora_apply_mode", f"LORA_APPLY_{mode.upper()}")
        # Contexts are used again, and only images are made.
        defaults = {"n_threads": threads, "free_params_immediately": False, "vae_decode_only": True}
        for member, value in {**defaults, **options}.items():
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
        sample = params.sample_params
        sample.sample_steps = generation.steps
        sample.sample_method = self.library.enum("EULER_SAMPLE_METHOD", "EULER")
        # A header without a discrete scheduler has another default, which then is what its users get.
        known = self.library.header.enumerators()
        scheduler = next((known[n] for n in ("DISCRETE_SCHEDULER", "DISCRETE") if n in known), None)
        if scheduler is not None:
            sample.scheduler = scheduler
        sample.guidance.txt_cfg = generation.cfg_scale
        return params, self.name_loras(params, generation, lora_dir)

    def open(
        self,
        files: ModelFiles,
        *,
        mode: str,
        threads: int,
        lora_dir: Path,
        options: Mapping[str, Any] | None = None,
    ) -> ParamsContext:
        """Load a base model; see Api.open."""
        params = self.context_params(
            files, mode=mode, threads=threads, lora_dir=lora_dir, options=options or {}
        )
        with self.library.recorded() as lines:
            pointer = self.library.call("new_sd_ctx", ctypes.byref(params))
        if not pointer:
            self.library.reraise()
            raise Refused("new_sd_ctx", complaints(lines))
        context = ParamsContext(self, pointer, lora_dir, lines)
        try:
            self.library.reraise()
        except BaseException:
            context.close()
            raise
        return context


class ParamsContext:
    """A context made by new_sd_ctx."""

    def __init__(self, api: ParamsApi, pointer: Any, lora_dir: Path, lines: list[LogLine]) -> None:
        self.api, self.pointer, self.lora_dir = api, pointer, lora_dir
        self.backend, self.evidence = decide(lines, ggml.devices(api.library))

    def generate(self, generation: Generation) -> Picture:
        """Make a picture; see Context.generate."""
        library = self.api.library
        params, alive = self.api.image_params(generation, self.lora_dir)
        with library.recorded() as lines:
            images = library.call("generate_image", self.pointer, ctypes.byref(params))
        del alive
        if not images:
            library.reraise()
            raise Refused("generate_image", complaints(lines))
        image = images[0]
        picture = None
        if image.data:
            size = image.width * image.height * image.channel
            data = ctypes.string_at(image.data, size)
            picture = Picture(width=image.width, height=image.height, channels=image.channel, data=data)
            library.free(image.data)
        library.free(images)
        library.reraise()
        if picture is None:
            raise Refused("generate_image", complaints(lines))
        return picture

    def close(self) -> None:
        """Free the context."""
        if self.pointer:
            pointer, self.pointer = self.pointer, None
            self.api.library.call("free_sd_ctx", pointer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
