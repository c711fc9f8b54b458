"""A recipe for one odd file, and the file that comes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict, Unpack

from harness.formats.write import SUFFIXES
from harness.models.base_model import Base
from sdcpp import cache

#: References whose pictures may be right: without the adapter, as where a file is declined; that, or with the second
#: pair alone; with the whole adapter.
WITHOUT = frozenset({"without"})
REST = WITHOUT | {"second"}
WHOLE = frozenset({"whole"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MalformedFile:
    """One file: what is odd about it, how it is made, and which pictures are right.

    ``content`` returns the file's bytes; a recipe that makes no plain file has ``place`` instead, which is
    given the path to fill. ``accept`` names references (see ``malformed_file_case.reference_shots``) whose picture
    is right if the library warns; ``quietly`` names those that need no warning. A refusal is right where "without" is.
    ``in_every_mode`` is False where only the reading of the file is in question, which no mode changes.
    ``file_name`` is a name of its own.
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
    """Which answers of a library are right, and whether the apply mode matters: see ``MalformedFile``."""

    accept: frozenset[str]
    quietly: frozenset[str]
    in_every_mode: bool


def malformed_file(
    container: str, name: str, why: str, content: bytes | Callable[[], bytes], **answers: Unpack[Answers]
) -> MalformedFile:
    """Return the recipe of a file of bytes; its name begins with that of the container.

    Bytes that take long to make are given as a function that returns them.
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
    """The file of a recipe, named so that a generation's library looks at its content.

    ``any_suffix`` is True for a library that takes any path; others are given ``.safetensors`` or ``.ckpt``
    whatever is inside.
    """

    base: Base
    recipe: MalformedFile
    any_suffix: bool = True

    @property
    def name(self) -> str:
        """The recipe's name: unique in its folder."""
        return self.recipe.name

    @property
    def folder(self) -> Path:
        """Where all odd files for the base model lie."""
        digest = hashlib.sha256(f"odd/{self.base.digest}/{self.any_suffix}".encode()).hexdigest()
        return cache.root() / cache.ADAPTERS / f"{self.base.name}-odd-{digest[:12]}"

    @property
    def path(self) -> Path:
        """Where the file is; it exists once ``make`` has run, unless the recipe is for a missing one."""
        # What stands in the place of a file ("path") has the suffix that every library looks for.
        suffix = SUFFIXES.get(self.recipe.container, SUFFIXES["safetensors"])[0]
        if not self.any_suffix and suffix == ".gguf":
            suffix = ".safetensors"
        return self.folder / (self.recipe.file_name or f"{self.name}{suffix}")

    def make(self) -> Path:
        """Write the file unless it is there with the right content, and return its path."""
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
