"""Read the tensors of a model from one file, from the files that it is split into, or from a folder of diffusers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from harness.formats.read import read_tensors
from harness.formats.tensor import Tensor
from sdcpp.errors import FileInvalid

#: One of several files that together hold a model, as transformers, diffusers and llama.cpp name them.
SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.(safetensors|gguf)")
#: The list of these files.
INDEX = ".safetensors.index.json"
#: The folders of diffusers that adapters can change. Their tensors get the prefixes of a whole model.
_DIFFUSION = re.compile(r"unet|transformer")
_TEXT = re.compile(r"text_encoder(_\d)?")
_DIFFUSION_PREFIX = "model.diffusion_model."


def is_split(path: Path) -> bool:
    """Return whether a path names one of several files that hold a model, or the list of them."""
    return bool(SHARD.fullmatch(path.name)) or path.name.endswith(INDEX)


def shards(path: Path) -> list[Path]:
    """Return the files that together hold a model, in order; ``path`` is one of them or their list.

    Raises FileInvalid if one is missing.
    """
    match = SHARD.fullmatch(path.name)
    stem = match[1] if match else path.name.removesuffix(INDEX)
    siblings = sorted(p for p in path.parent.glob("*") if (m := SHARD.fullmatch(p.name)) and m[1] == stem)
    counted = {int(m[3]) for p in siblings if (m := SHARD.fullmatch(p.name))}
    if counted != {len(siblings)}:
        raise FileInvalid(
            f"only {len(siblings)} of {max(counted, default=0)} files of the model are here",
            path,
            "download the others into the same folder",
        )
    return siblings


def model_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a model by name: of a file, of all files that it is split into, or of a diffusers folder.

    A folder is either one component, or has components in ``unet`` or ``transformer`` and in ``text_encoder`` and the
    like. Then the names begin with those of the components in whole models. Other folders are ignored.

    Raises FileInvalid if a file cannot be read, is missing, or has a tensor that another file has too.
    """
    found: dict[str, Tensor] = {}
    for prefix, file in _files(path):
        for name, tensor in read_tensors(file).tensors.items():
            key = prefix + name
            if key in found:
                raise FileInvalid(
                    f"tensor {name} is also in {found[key].path.name}",
                    file,
                    "name a single model or component",
                )
            found[key] = replace(tensor, name=key)
    return found


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files of a model, and the prefix for the names of their tensors."""
    if not path.is_dir():
        for file in shards(path) if is_split(path) else [path]:
            yield "", file
        return
    components = {
        folder.name: files
        for folder in sorted(path.iterdir())
        if folder.is_dir()
        and (_DIFFUSION.fullmatch(folder.name) or _TEXT.fullmatch(folder.name))
        and (files := _component(folder))
    }
    own = _component(path)
    if not components and not own:
        raise FileInvalid(
            "this folder has no model in the layout of diffusers",
            path,
            "name a file, or a folder with unet or transformer",
        )
    for name, files in components.items():
        prefix = _DIFFUSION_PREFIX if _DIFFUSION.fullmatch(name) else _text_prefix(name, files[0])
        for file in files:
            yield prefix, file
    for file in () if components else own:
        yield "", file


def _component(folder: Path) -> list[Path]:
    """Return the files of the component in a folder. Of several variants, it is the one with the shortest name."""
    for pattern in (f"*{INDEX}", "*.safetensors", "*.gguf", "*.bin"):
        found = sorted(folder.glob(pattern), key=lambda path: (len(path.name), path.name))
        if found:
            return shards(found[0]) if is_split(found[0]) else found[:1]
    return []


def _text_prefix(folder: str, file: Path) -> str:
    """Return the prefix of a text encoder: which one it is, the names of its tensors and the folder tell."""
    names: Mapping[str, Tensor] = read_tensors(file).tensors
    if any(name.startswith(("encoder.block.", "shared.")) for name in names):
        return "text_encoders.t5xxl.transformer."
    if any(name.startswith(("text_model.", "encoder.layers.")) for name in names):
        return f"text_encoders.clip_{'g' if folder.endswith('2') else 'l'}.transformer."
    return f"text_encoders.{folder}."
