"""A recipe for one malformed or unusual file, and the file that it makes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict, Unpack

from harness.formats.write import SUFFIXES
from harness.models.base_model import Base
from sdcpp import cache

#: Names of reference pictures that a recipe may accept: without the adapter, as when a library refuses the file;
#: without the adapter or with its second pair only; with the whole adapter.
WITHOUT = frozenset({"without"})
REST = WITHOUT | {"second"}
WHOLE = frozenset({"whole"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MalformedFile:
    """A recipe: what is unusual about the file, how it is made, and which pictures are right.

    ``why`` says what is wrong or unusual. ``content`` returns the bytes of the file. A recipe for something other than
    a plain file has ``place`` instead, which is called with the path.

    ``accept`` names the reference pictures (``malformed_file_case.reference_shots``) that are right if the library logs
    a warning, ``quietly`` those that are right without one, too. If one of them is "without", the library may also
    refuse the file. ``in_every_mode`` is False if the recipe concerns only reading, which is the same in every apply
    mode. ``file_name`` replaces the name that the file would have.
    """

    name: str
    container: str
    why: str
    content: Callable[[], bytes] | None = field(default=None, compare=False)
    place: Callable[[Path], None] | None = field(default=None, compare=False)
    accept: frozenset[str] = WITHOUT
    quietly: frozenset[str] = frozenset()
    in_every_mode: bool = False
    file_name: str = ""


class Answers(TypedDict, total=False):
    """Optional fields of ``MalformedFile``."""

    accept: frozenset[str]
    quietly: frozenset[str]
    in_every_mode: bool


def malformed_file(
    container: str, name: str, why: str, content: bytes | Callable[[], bytes], **answers: Unpack[Answers]
) -> MalformedFile:
    """Return the recipe of a file of bytes. Its name begins with that of the container.

    ``content`` may be a function that returns the bytes, which is called when the file is made.
    """
    return MalformedFile(
        name=f"{container}-{name}",
        container=container,
        why=why,
        content=(lambda: content) if isinstance(content, bytes) else content,
        **answers,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenMalformedFile:
    """The file of a recipe, under a name that the library opens.

    ``any_suffix`` is True for a library that opens files of any suffix. Others open ``.safetensors`` and ``.ckpt``
    only, so a GGUF file is named ``.safetensors`` for them.
    """

    base: Base
    recipe: MalformedFile
    any_suffix: bool = True

    @property
    def name(self) -> str:
        """The recipe's name. It is unique in the folder."""
        return self.recipe.name

    @property
    def folder(self) -> Path:
        """The folder of all malformed and unusual files for the base model."""
        digest = hashlib.sha256(f"odd/{self.base.digest}/{self.any_suffix}".encode()).hexdigest()
        return cache.root() / cache.ADAPTERS / f"{self.base.name}-odd-{digest[:12]}"

    @property
    def path(self) -> Path:
        """The file's path. The file exists once ``make`` has run, unless the recipe is that it is missing."""
        # Recipes for something other than a file ("path") use the suffix that every library opens.
        suffix = SUFFIXES.get(self.recipe.container, SUFFIXES["safetensors"])[0]
        if not self.any_suffix and suffix == ".gguf":
            suffix = ".safetensors"
        return self.folder / (self.recipe.file_name or f"{self.name}{suffix}")

    def make(self) -> Path:
        """Write the file, unless it exists with the right content, and return its path."""
        with cache.lock(self.folder / "locks" / self.path.name):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.recipe.place is not None:
                self.recipe.place(self.path)
            elif self.recipe.content is not None:
                content = self.recipe.content()
                if not self.path.is_file() or self.path.read_bytes() != content:
                    partial = self.folder / f".partial-{self.path.name}"
                    partial.write_bytes(content)
                    partial.replace(self.path)
        return self.path
