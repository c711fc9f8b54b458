"""The model of a user: its files, as the options of upstream's program name them, and what is in them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.converter import contents, model_family
from harness.converter.base_weights import BaseWeights
from harness.converter.model_files import INDEX, is_split, model_tensors, shards
from harness.converter.modules import layout_of
from harness.formats.read import read_tensors
from harness.formats.tensor import SIZES, File, Tensor
from harness.text import listed
from sdcpp.errors import FileInvalid

#: Roles of files that no adapter changes.
_NOT_ADAPTED = frozenset({"vae", "taesd", "clip_vision"})
#: The diffusion model in a variant of such a folder, such as ".fp16".
_VARIANT = re.compile(r"unet/diffusion_pytorch_model(\.\w+)\.safetensors$")
#: Roles of files that have the diffusion model.
_DIFFUSION = frozenset({"model", "diffusion_model", "high_noise_diffusion_model"})
#: The end of the line about a model in several files.
_IN_SEVERAL = "the library reads no model in several files; join them first"
#: The files that the library reads in a folder of diffusers (``init_from_diffusers_file``), and their roles here.
_DIFFUSERS = {
    "unet/diffusion_pytorch_model.safetensors": "diffusion_model",
    "text_encoder/model.safetensors": "clip_l",
    "text_encoder_2/model.safetensors": "clip_g",
    "vae/diffusion_pytorch_model.safetensors": "vae",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A file of a model and its tensors.

    ``role`` is a field of ``sdcpp.binding.api.ModelFiles``, or in a folder of diffusers the one that its content would
    have. ``inside`` is the path below such a folder, or "". ``shards`` are the paths of several files that together
    stand for one; ``path`` is then the one that the user has named, and ``file`` has the tensors of all.
    """

    role: str
    path: Path
    file: File
    inside: str = ""
    shards: tuple[Path, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths of all files."""
        return self.shards or (self.path,)

    @property
    def adapted(self) -> bool:
        """Whether adapters can change the file."""
        return self.role not in _NOT_ADAPTED

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the tensors by name."""
        return {name: tensor.shape for name, tensor in self.file.tensors.items()}

    @property
    def weights(self) -> BaseWeights:
        """The weights, which can be found by the keys of an adapter's modules."""
        return BaseWeights(self.shapes)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserModel:
    """A model of a user.

    ``files`` are the paths by role, as the library gets them. ``unreadable`` has a line for each file that the library
    cannot read in this form; the names of its tensors are known all the same.
    """

    files: Mapping[str, Path]
    parts: tuple[Part, ...]
    unreadable: tuple[str, ...]

    @property
    def family(self) -> str:
        """The family of the diffusion model, such as "FLUX.1", or "" if it is not known."""
        found = (model_family.of_model(part.shapes) for part in self.parts if part.adapted)
        return next(filter(None, found), "")

    @property
    def hopeless(self) -> tuple[str, ...]:
        """The lines of ``unreadable`` about other things than several files, which ``joined`` makes one."""
        return tuple(line for line in self.unreadable if not line.endswith(_IN_SEVERAL))

    @property
    def quantised(self) -> bool:
        """Whether a tensor has a quantised type. The library then takes mode auto for at_runtime."""
        return any(_quantised(tensor) for part in self.parts for tensor in part.file.tensors.values())

    @property
    def containers(self) -> frozenset[str]:
        """The containers of the files."""
        return frozenset(part.file.container for part in self.parts)

    @property
    def bytes(self) -> int:
        """The size of all tensors."""
        return sum(t.nbytes for part in self.parts for t in part.file.tensors.values())

    @property
    def kind(self) -> str:
        """The type of most bytes of the diffusion model or, without one, of the files that adapters can change."""
        sizes: Counter[str] = Counter()
        adapted = [part for part in self.parts if part.adapted]
        for part in [part for part in adapted if part.role in _DIFFUSION] or adapted:
            for tensor in part.file.tensors.values():
                sizes[tensor.kind] += tensor.nbytes
        return sizes.most_common(1)[0][0] if sizes else ""


def _quantised(tensor: Tensor) -> bool:
    """Return whether the type of a tensor has blocks."""
    return SIZES[tensor.kind][0] > 1


def read_model(files: Mapping[str, Path]) -> UserModel:
    """Return the model with these files by role. Only the headers of files are read.

    Raises FileInvalid for a file that has no tensors or is not found, and for an adapter in place of a model.
    """
    parts: list[Part] = []
    unreadable: list[str] = []
    for role, path in files.items():
        if path.is_dir():
            parts += _folder(path, unreadable)
        elif is_split(path):
            parts.append(_split(role, path))
            unreadable.append(f"{path.name}: {_IN_SEVERAL}")
        else:
            parts.append(Part(role=role, path=path, file=read_tensors(path)))
    for part in parts:
        if part.adapted and not contents.described(part.file) and layout_of(part.file).modules:
            raise FileInvalid(
                "this is an adapter, not a model",
                part.path,
                "give the model with --model or --diffusion-model",
            )
    return UserModel(files=files, parts=tuple(parts), unreadable=tuple(unreadable))


def _split(role: str, path: Path) -> Part:
    """Return the files that together hold a model as one. Raises FileInvalid if one is missing or repeats a tensor."""
    first = read_tensors(shards(path)[0])
    whole = File(path=path, container=first.container, tensors=model_tensors(path), metadata=first.metadata)
    return Part(role=role, path=path, file=whole, shards=tuple(shards(path)))


def _folder(folder: Path, unreadable: list[str]) -> Iterator[Part]:
    """Yield the files of a folder of diffusers, and add what the library does not read of it to ``unreadable``."""
    found = [(name, role) for name, role in _DIFFUSERS.items() if (folder / name).is_file()]
    for name, role in found:
        yield Part(role=role, path=folder / name, file=read_tensors(folder / name), inside=name)
    if any(role == "diffusion_model" for _, role in found):
        return
    others = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.glob("*/*")
        if path.name.endswith((".safetensors", INDEX, ".bin"))
    )
    if not others:
        raise FileInvalid(
            "this folder has no model in the layout of diffusers",
            folder,
            f"it needs {next(iter(_DIFFUSERS))}",
        )
    variant = next(filter(None, map(_VARIANT.match, others)), None)
    remedy = (
        f"leave {variant[1]} out of the names" if variant else "give a single file with --diffusion-model"
    )
    unreadable.append(
        f"{folder.name}: the library reads only {next(iter(_DIFFUSERS))} of such a folder, which has "
        f"{listed(others, 3)}; {remedy}"
    )
    for name in others:
        if name.endswith(".safetensors"):
            role = "vae" if name.startswith("vae") else "diffusion_model"
            yield Part(role=role, path=folder / name, file=read_tensors(folder / name), inside=name)
