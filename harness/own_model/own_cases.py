"""Cases of an adapter with a user's model: what is made, and what each picture is compared with."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path

from harness.adapters.use import AnyFile, Use
from harness.cases.case import Case, RecordedPicture, Shot, Tolerance
from harness.cases.settings import (
    USUAL_CONTEXT,
    USUAL_GENERATION,
    ContextSettings,
    GenerationSettings,
)
from harness.cases.uses import fading
from harness.models.base_model import Base, Calibration, Demand
from harness.own_model import reference
from harness.own_model.model import UserModel
from harness.own_model.own_base import MERGED, MergedBase, OwnBase
from harness.own_model.reference import Adapter

#: The largest effect error of a picture that counts as right. Published models have more layers and more steps than the
#: harness's base models, so the same rounding leads to larger differences. An adapter that is ignored has an error of
#: 1; one of which a tenth is missing has about 0.3.
TOLERANCE = Tolerance(
    bound=0.12, why="a published model has many layers, and rounding in each of them adds up over the steps"
)
#: For a merged model whose weights had to be rounded to a quantised type again. Rounding hides small changes.
ROUNDED_TOLERANCE = Tolerance(
    bound=0.5, why="the weights of the merged model are rounded to the quantised type of the model again"
)
#: The largest share of the memory that a merged model may take. A larger one is rounded.
LARGEST_SHARE = 0.6
#: A model that takes a larger share of the memory than this is not copied when the library merges an adapter into it.
COPIED_SHARE = 0.25
#: The end of the names of the cases of ``OwnCases.changes``.
CHANGING_MULTIPLIERS = "changing-multipliers"
#: The smallest change of the picture by an adapter that can be judged, in grey levels RMS.
LEAST_EFFECT = 2.0


def total_memory() -> int:
    """Return the bytes of memory of this machine, or a usual number if the system does not tell."""
    if not hasattr(os, "sysconf"):
        return 16 << 30
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def is_large(model: UserModel) -> bool:
    """Return whether a model takes so much memory that a process with it should not be copied."""
    return model.bytes > COPIED_SHARE * total_memory()


def own_base(name: str, model: UserModel, timeout: float, **more: object) -> OwnBase:
    """Return a model as a base model of shots, whose pictures may take ``timeout`` seconds.

    ``more`` has further fields of OwnBase.
    """
    usual: dict[str, object] = {
        "name": name,
        "architecture": "",
        "files": {},
        "targets": {},
        "model": model,
        "calibration": Calibration(effect=LEAST_EFFECT, required=False),
        "demand": Demand(timeout=timeout, keeps_state=is_large(model)),
    }
    return OwnBase(**{**usual, **more})  # type: ignore[arg-type] # fields by name


@dataclass(frozen=True, kw_only=True)
class OwnCases:
    """Makes the cases of an adapter with a model.

    ``file`` is what the library loads, ``adapter`` what the reference is made from, ``label`` names it in records.
    ``available`` are the apply modes of the library, and ``library`` is the folder of its build, or None. With
    ``original``, the float adapter that a quantised one was made from, the loss is measured against it. A ``recorded``
    picture takes the place of the merged model. ``tolerance`` replaces the usual one.
    """

    base: OwnBase
    adapter: Adapter
    file: AnyFile
    label: str
    available: Sequence[str]
    library: Path | None = None
    generation: GenerationSettings = USUAL_GENERATION
    context: ContextSettings = USUAL_CONTEXT
    original: Path | None = None
    recorded: RecordedPicture | None = None
    tolerance: Tolerance | None = None
    dimensions: Mapping[str, str] = field(default_factory=dict)

    @property
    def without(self) -> Shot:
        """The shot without the adapter."""
        return self._shot(self.base, self._plain)

    @cached_property
    def no_reference(self) -> str:
        """The reason why the adapter cannot be merged beforehand, or "" if it can be or need not be."""
        return "" if self.recorded else reference.why_not(self.adapter.path, self.base.model)

    def cases(self, name: str, modes: Sequence[str]) -> list[Case]:
        """Return a case for each of the apply modes."""
        return [
            Case(
                name=name,
                shot=self._shot(self.base, mode, (Use(file=self.file, multiplier=self.adapter.multiplier),)),
                without=self.without,
                wanted=self._wanted(mode),
                tolerance=self.tolerance or (ROUNDED_TOLERANCE if self._narrow else TOLERANCE),
                source=self._merged(self.original, rounded=self._narrow) if self.original else None,
                dimensions={**self.dimensions, "base": self.base.name, "mode": mode},
                recorded=self.recorded,
                no_wanted=self.no_reference,
            )
            for mode in modes
        ]

    def changes(self, name: str, modes: Sequence[str], rounds: int) -> list[Case]:
        """Return a case of changing multipliers for each of the apply modes (``harness.cases.uses.fading``).

        The last picture of the context has no adapter, and must be that of a new context. Without a merged model its
        difference is compared with the effect that the adapter has in that mode.
        """
        use = Use(file=self.file, multiplier=self.adapter.multiplier)
        return [
            replace(
                case,
                name=f"{name}-{CHANGING_MULTIPLIERS}",
                shot=replace(case.shot, sequence=fading(use, rounds)),
                wanted=case.without,
                scale=case.wanted or case.shot,
                source=None,
                recorded=None,
                no_wanted="",
                dimensions={**case.dimensions, "sequence": "changing"},
            )
            for case in self.cases(name, modes)
        ]

    @property
    def _plain(self) -> str:
        """The apply mode of pictures that need no adapter."""
        return "at_runtime" if "at_runtime" in self.available else self.available[0]

    @cached_property
    def _narrow(self) -> bool:
        """Whether the merged model must be rounded to quantised types, because it would be too large otherwise."""
        model = self.base.model
        if self.recorded or self.no_reference or not reference.coarse(model):
            return False
        return reference.exact_bytes(self.adapter.path, model) > LARGEST_SHARE * total_memory()

    def _wanted(self, mode: str) -> Shot | None:
        """Return the shot of the merged model. In a mode in which the library merges, it rounds as the library does."""
        if self.recorded or self.no_reference:
            return None
        model = self.base.model
        merges = mode == "immediately" or (mode == "auto" and not model.quantised)
        return self._merged(self.adapter.path, rounded=self._narrow or (merges and reference.coarse(model)))

    def _merged(self, path: Path, *, rounded: bool) -> Shot:
        label = self.label if path == self.adapter.path else self.base.label(path)
        multiplied = "" if self.adapter.multiplier == 1 else f"@{self.adapter.multiplier:g}"
        own = {each.name: getattr(self.base, each.name) for each in fields(self.base)}
        merged = MergedBase(
            **{
                **own,
                "name": f"{self.base.name}{MERGED}{label}{multiplied}{'-rounded' if rounded else ''}",
            },
            adapter=replace(self.adapter, path=path),
            rounded=rounded,
            library=self.library,
        )
        return self._shot(merged, self._plain)

    def _shot(self, base: Base, mode: str, *sequence: tuple[Use[AnyFile], ...]) -> Shot:
        return Shot(
            base=base,
            mode=mode,
            sequence=sequence or ((),),
            generation=self.generation,
            context=self.context,
        )
