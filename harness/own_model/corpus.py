"""The cases of a corpus: adapters and models of one's own, put to a library like any case."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from harness.cases.case import MODES, Case, RecordedPicture, Shot, Tolerance
from harness.cases.fixture import NO_BLOCKS, BlockQuantiser
from harness.cases.settings import ContextSettings, GenerationSettings
from harness.formats.read import read_tensors
from harness.judging.expectation import Expectation
from harness.models.base_model import Base
from harness.own_model import corpus_file, file_digests
from harness.own_model.corpus_file import CorpusFile, Entry, ModelEntry
from harness.own_model.corpus_search import Missing, Search
from harness.own_model.corpus_values import Wanted
from harness.own_model.model import UserModel, read_model
from harness.own_model.own_base import LinkedAdapter, OwnBase
from harness.own_model.own_cases import OwnCases, own_base
from harness.own_model.reference import Adapter
from harness.records import pictures
from sdcpp import cache
from sdcpp.binding import api
from sdcpp.errors import Error, FileInvalid, NothingTried

#: The folder of the cache with links to the adapters.
LINKS = "links"
#: The seconds that a picture may take unless the corpus says otherwise.
TIMEOUT = 3600.0


@dataclass(kw_only=True)
class Corpus:
    """The models and cases of a corpus file.

    It takes the place of a ``harness.cases.matrix.Matrix``. A case is ``missing`` if a file of it is not here or cannot
    be read.
    """

    file: CorpusFile
    search: Search
    needs_block_quantiser: bool = field(default=False, init=False)

    @property
    def expected(self) -> Sequence[Expectation]:
        """The expected verdicts."""
        return self.file.expected

    @cached_property
    def bases(self) -> Mapping[str, Sequence[Base]]:
        """The models that are here: the same ones for each generation of the LoRA API."""
        models = [base for base, missing in self._models.values() if not missing]
        return dict.fromkeys((letter for *_, letter in api.GENERATIONS), models)

    def left_out(
        self,
        generation: str,  # noqa: ARG002 - the interface of a matrix
        block_quantiser: BlockQuantiser = NO_BLOCKS,  # noqa: ARG002
    ) -> Iterator[tuple[str, str, str]]:
        """Yield what is missing, as (model, name of the case, reason)."""
        for case in self.cases(None, MODES, NO_BLOCKS):
            if case.missing:
                yield case.dimensions["base"], f"{case.name}@{case.dimensions['mode']}", case.missing

    def cases(
        self,
        generation: str | None,  # noqa: ARG002 - the interface of a matrix
        modes: Iterable[str],
        block_quantiser: BlockQuantiser,  # noqa: ARG002
    ) -> list[Case]:
        """Return the cases for the apply modes that a library has; without ``modes`` of their own, all but auto."""
        available = [mode for mode in MODES if mode in set(modes)]
        found: list[Case] = []
        for entry in self.file.entries:
            own = entry.settings.get("modes", [mode for mode in available if mode != "auto"])
            found += self._cases(entry, [mode for mode in own if mode in available], available)
        return found

    def require_files(self, cases: Iterable[Case]) -> dict[str, list[str]]:
        """Return the names of those of the cases that are missing something, by reason.

        Raises NothingTried if all are.
        """
        found: dict[str, list[str]] = {}
        total = 0
        for case in cases:
            total += 1
            if case.missing:
                found.setdefault(case.missing, []).append(f"{case.name}@{case.dimensions['mode']}")
        if total == sum(map(len, found.values())):
            raise NothingTried(
                f"no case of the corpus can be tried: {'; '.join(found)}",
                self.file.path,
                "get the files, or name the folders that they are in (docs/corpus.md)",
            )
        return found

    @cached_property
    def _models(self) -> Mapping[str, tuple[OwnBase, str]]:
        """The models by name, each with the reason why it is not here, or ""."""
        named = {entry.model.name: entry.model for entry in self.file.entries}
        return {name: self._model(model) for name, model in named.items()}

    def _model(self, entry: ModelEntry) -> tuple[OwnBase, str]:
        timeout = float(entry.settings.get("timeout", TIMEOUT))
        options: dict[str, Any] = {"links": cache.root() / LINKS, "hashed": True}
        try:
            files = {role: self.search.find(wanted) for role, wanted in entry.files.items()}
            model = read_model(files)
            if model.hopeless:
                raise Missing(model.hopeless[0])
        except (Missing, Error) as error:
            nothing = UserModel(files={}, parts=(), unreadable=())
            return own_base(entry.name, nothing, timeout, **options), f"the model {entry.name}: {error}"
        return own_base(entry.name, model, timeout, **options), ""

    def _cases(self, entry: Entry, modes: Sequence[str], available: Sequence[str]) -> list[Case]:
        base, missing = self._models[entry.model.name]
        settings = entry.settings
        width, height = entry.size
        dimensions = {
            "size": str(settings["size"]),
            "steps": str(settings["steps"]),
            "seed": str(settings["seed"]),
        }
        try:
            if missing:
                raise Missing(missing)
            path = self.search.find(entry.adapter)
            recorded = self._recorded(entry)
            dimensions |= _described(path)
            digest = file_digests.sha256(path)
            original = self.search.find(entry.original) if entry.original else None
            maker = OwnCases(
                base=base,
                adapter=Adapter(path=path, multiplier=entry.multiplier),
                file=LinkedAdapter(
                    path=cache.root() / LINKS / f"{digest[:16]}{path.suffix}",
                    target=path,
                    name=base.label(path),
                ),
                label=base.label(path),
                available=available,
                generation=GenerationSettings(
                    **{name: settings[name] for name in ("prompt", "negative_prompt", "steps", "seed")},
                    **{name: settings[name] for name in ("cfg_scale", "clip_skip")},
                    width=width,
                    height=height,
                ),
                context=_context(settings),
                original=original,
                recorded=recorded,
                tolerance=_tolerance(entry),
                dimensions=dimensions,
            )
            return maker.cases(entry.name, modes)
        except (Missing, Error) as error:
            return [_missing(entry, base, mode, dimensions, str(error)) for mode in modes]

    def _recorded(self, entry: Entry) -> RecordedPicture | None:
        """Return the wanted picture of an entry, or None if the merged model shows it. Raises Missing, FileInvalid."""
        if entry.picture_sha256:
            return RecordedPicture(digest=entry.picture_sha256)
        if not entry.picture:
            return None
        path = self.search.find(Wanted(path=entry.picture))
        try:
            with Image.open(path) as image:
                pixels = np.array(image.convert("RGB"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise FileInvalid(f"no picture ({error})", path, "give a PNG file") from error
        return RecordedPicture(digest=pictures.digest(pixels), pixels=pixels)


def load(path: Path) -> Corpus:
    """Return the corpus in a file. Raises FileInvalid."""
    found = corpus_file.read(path)
    return Corpus(file=found, search=Search(beside=path.resolve().parent, folders=found.folders))


def _described(path: Path) -> dict[str, str]:
    """Return the container of an adapter, and the type of most of its bytes, as dimensions. Raises FileInvalid."""
    file = read_tensors(path)
    sizes: dict[str, int] = {}
    for tensor in file.tensors.values():
        sizes[tensor.kind] = sizes.get(tensor.kind, 0) + tensor.nbytes
    return {"container": file.container, "type": max(sizes, key=lambda kind: sizes[kind])}


def _context(settings: Mapping[str, Any]) -> ContextSettings:
    return ContextSettings(**dict.fromkeys(settings.get("flags", ()), True))


def _tolerance(entry: Entry) -> Tolerance | None:
    if entry.tolerance is None:
        return None
    return Tolerance(bound=entry.tolerance, why="the corpus says so")


def _missing(entry: Entry, base: OwnBase, mode: str, dimensions: Mapping[str, str], why: str) -> Case:
    """Return a case that is not run, with the reason."""
    shot = Shot(base=base, mode=mode)
    return Case(
        name=entry.name,
        shot=shot,
        without=shot,
        dimensions={**dimensions, "base": base.name, "mode": mode},
        missing=why,
    )
