"""The files of a user's model, without and with an adapter merged into them, as base models of shots."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness.models.base_model import Base
from harness.own_model import file_digests, reference
from harness.own_model.joined import joined
from harness.own_model.model import UserModel
from harness.own_model.reference import Adapter
from harness.quantising.package_quantiser import open_quantiser
from sdcpp import atomic_write

#: What the names of merged models contain.
MERGED = "-merged-"


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnBase(Base):
    """The files of a user's model as a base model for shots.

    ``links`` is the folder of the adapters; None stands for the folder of the first file. With ``hashed`` the digest is
    that of the contents, so that it is the same on every machine. Otherwise it is that of paths, sizes and times, which
    takes no time.
    """

    model: UserModel
    links: Path | None = None
    hashed: bool = False

    @cached_property
    def digest(self) -> str:
        """A digest that changes when a file changes."""
        stamp = file_digests.sha256 if self.hashed else reference.stamp
        stamps = [stamp(path) for part in self.model.parts for path in part.paths]
        return hashlib.sha256("\n".join(stamps).encode()).hexdigest()

    @cached_property
    def sha256(self) -> str:
        """The digest, which identifies the files."""
        return self.digest

    @cached_property
    def readable(self) -> UserModel:
        """The model in files that the library can read."""
        return joined(self.model)

    @property
    def folder(self) -> Path:
        """The folder of adapters that a context uses."""
        if self.links is not None:
            return self.links
        return next(iter(self.model.files.values())).resolve().parent

    def label(self, adapter: Path) -> str:
        """Return the name of an adapter in records. If contents are hashed, files of one name are told apart."""
        return f"{file_digests.sha256(adapter)[:12]}-{adapter.name}" if self.hashed else adapter.name

    def make(self) -> dict[str, Path]:
        """Return the paths by role. A model in several files is joined in the cache (see ``joined.joined``)."""
        return {role: path.resolve() for role, path in self.readable.files.items()}


@dataclass(frozen=True, kw_only=True, eq=False)
class MergedBase(OwnBase):
    """A user's model with an adapter merged into it. The files are written when they are needed.

    With ``rounded`` changed tensors keep their types (see ``reference.make``). ``library`` is the folder of the build
    that quantises them.
    """

    adapter: Adapter
    rounded: bool = False
    library: Path | None = None

    @cached_property
    def digest(self) -> str:
        """A digest that changes when a file of the model or the adapter changes."""
        stamp = file_digests.sha256 if self.hashed else reference.stamp
        parts = [stamp(path) for part in self.model.parts for path in part.paths]
        parts += [stamp(self.adapter.path), repr(self.adapter.multiplier), str(self.rounded)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def make(self) -> dict[str, Path]:
        """Write the files unless they are in the cache, and return their paths. Raises what ``reference.make`` does."""
        if not self.rounded:  # changed tensors are floats
            return reference.make(self.adapter, self.readable, None, rounded=False)
        with open_quantiser(self.library) as quantiser:
            return reference.make(self.adapter, self.readable, quantiser, rounded=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedAdapter:
    """A link to the adapter ``target``, in a folder in which no other file has its name: ``path`` is the link.

    ``name`` is the name in records.
    """

    path: Path
    target: Path
    name: str

    @property
    def folder(self) -> Path:
        """The folder of the link."""
        return self.path.parent

    def make(self) -> Path:
        """Write the link unless it exists, and return its path. Raises OutputRefused."""
        target = self.target.resolve()
        if not self.path.is_symlink() or self.path.readlink() != target:
            atomic_write.ensure_folder(self.folder)
            partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
            partial.symlink_to(target)
            partial.replace(self.path)
        return self.path
