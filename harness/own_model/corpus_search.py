"""Find the files that a corpus names, by path, by name or by SHA-256, in the folders that it names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.own_model import file_digests
from harness.own_model.corpus_values import Wanted
from harness.text import listed
from sdcpp import os_errors

#: The names of files that a search by SHA-256 looks at end so.
SUFFIXES = frozenset({".safetensors", ".gguf", ".ckpt", ".pt", ".pth", ".bin", ".sft"})


class Missing(Exception):
    """A file of the corpus is not here, or is another one. The text is the reason."""


@dataclass(slots=True, kw_only=True)
class Search:
    """Finds files for a corpus in the folder ``beside`` it and in ``folders``, with the folders below these."""

    beside: Path
    folders: Sequence[Path]
    _files: list[Path] | None = field(default=None, init=False)
    _found: dict[Wanted, Path | Missing] = field(default_factory=dict, init=False)

    def find(self, wanted: Wanted) -> Path:
        """Return the path of a file, or of a folder if no SHA-256 is given. Raises Missing."""
        if wanted not in self._found:
            try:
                self._found[wanted] = self._find(wanted)
            except Missing as missing:
                self._found[wanted] = missing
            except OSError as error:
                self._found[wanted] = Missing(f"{wanted} cannot be read ({os_errors.reason(error)})")
        found = self._found[wanted]
        if isinstance(found, Missing):
            raise found
        return found

    def _find(self, wanted: Wanted) -> Path:
        others: list[str] = []
        for path in self._named(wanted.path) if wanted.path else ():
            if not wanted.sha256:
                return path
            if path.is_file():
                digest = file_digests.sha256(path)
                if digest.startswith(wanted.sha256):
                    return path
                others.append(f"{path.name} has the SHA-256 {digest[:16]}...")
        if wanted.sha256:
            for path in self._every():
                if file_digests.sha256(path).startswith(wanted.sha256):
                    return path
        folders = dict.fromkeys(str(folder.resolve()) for folder in (self.beside, *self.folders))
        also = f"; {listed(others, 3)}" if others else ""
        raise Missing(f"{wanted} is not in {listed(list(folders), 3)}{also}")

    def _named(self, name: str) -> Iterator[Path]:
        """Yield the files of a path, which may be relative to the corpus or to one of the folders, or of a name."""
        own = Path(name).expanduser()
        candidates = [folder / own for folder in (self.beside, *self.folders)]
        yield from (path for path in dict.fromkeys(candidates) if path.exists())
        if len(own.parts) == 1:
            yield from (path for path in self._every() if path.name == name and path not in candidates)

    def _every(self) -> list[Path]:
        """Return all files below the folders that may be models or adapters, the small ones first."""
        if self._files is None:
            found = {
                path.resolve(): path
                for folder in self.folders
                for path in sorted(folder.rglob("*"))
                if path.suffix in SUFFIXES and path.is_file()
            }
            self._files = sorted(found.values(), key=lambda path: path.stat().st_size)
        return self._files
