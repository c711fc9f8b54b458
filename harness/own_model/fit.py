"""Find the modules of an adapter that a model of several files has a place for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from harness.converter import fitting, weight_change
from harness.converter.modules import Layout, Module
from harness.own_model.model import UserModel
from sdcpp.errors import AdapterUnknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The modules of an adapter by where they belong.

    ``fitting`` are those that the model has a place for. ``problems`` has a line for each that belongs to a part of the
    model and does not fit there, and ``elsewhere`` the keys of those for parts, such as text encoders, that the given
    files do not have. ``kinds`` has the tensor type of the weight that a module changes, by key.
    """

    fitting: Layout
    problems: tuple[str, ...]
    elsewhere: tuple[str, ...]
    kinds: Mapping[str, str]

    @property
    def modules(self) -> int:
        """The number of modules that the model has a place for."""
        return len(self.fitting.modules)

    @property
    def ignored_scale(self) -> int:
        """The number of fitting modules whose scale is not 1 and is declared in the metadata only."""
        return sum(_scale_is_ignored(module) for module in self.fitting.modules.values())


def fit(adapter: Layout, model: UserModel | None) -> Fit:
    """Return the fit of an adapter to a model. Without a model every module fits."""
    if model is None:
        return Fit(fitting=adapter, problems=(), elsewhere=(), kinds={})
    fits: dict[str, str] = {}
    wrong: dict[str, str] = {}
    overlaps: list[str] = []
    for part in model.parts:
        if not part.adapted:
            continue
        found = fitting.fit(adapter, part.weights, part.shapes)
        for change in found.changes:
            fits.setdefault(change.module.key, part.file.tensors[change.slices[0].name].kind)
        for problem in found.problems:
            key = _key(problem, adapter)
            if " change the same rows of " in problem:
                overlaps.append(problem)
            elif key:
                wrong.setdefault(key, problem)
    problems = [problem for key, problem in wrong.items() if key not in fits]
    known = fits.keys() | wrong.keys()
    modules = {key: module for key, module in adapter.modules.items() if key in fits}
    return Fit(
        fitting=replace(adapter, modules=modules),
        problems=(*problems, *overlaps),
        elsewhere=tuple(
            key for key, module in adapter.modules.items() if key not in known and module.kind != "incomplete"
        ),
        kinds=fits,
    )


def _key(problem: str, adapter: Layout) -> str:
    """Return the key of the module that a problem is about, or "" if it is about the whole adapter."""
    words = set(problem.replace(":", " ").split())
    return next((key for key in adapter.modules if key in words), "")


def _scale_is_ignored(module: Module) -> bool:
    """Return whether a library that reads tensors only applies a module with another scale."""
    if {"alpha", "scale"} & set(module.parts) or not weight_change.alpha_is_used(module):
        return False
    try:
        return abs(weight_change.scale(module) - 1) > 1e-3
    except AdapterUnknown:
        return False
