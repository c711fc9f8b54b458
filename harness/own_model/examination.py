"""Examine an adapter file and a model without a library: what they are, whether they fit, and what to expect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.cases.settings import USUAL_CONTEXT, USUAL_GENERATION, ContextSettings, GenerationSettings
from harness.cases.uses import names_of
from harness.converter import input_checks, model_family
from harness.converter.inspect import AdapterSummary, inspect
from harness.converter.modules import Layout, layout_of
from harness.formats.read import read_tensors
from harness.own_model import likeness
from harness.own_model.fit import Fit, fit
from harness.own_model.model import UserModel
from harness.own_model.prediction import Prediction, Question, after_changes, needed_patches, predictions
from harness.own_model.uses import base_kind
from harness.records.verdict import Verdict
from sdcpp.source.revision import Revision
from sdcpp.waiting_line import Progress, unseen

#: The patch with which older revisions find files whose names end in .gguf.
FIND_GGUF = "lora-find-gguf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What is known about an adapter file without a library.

    ``summary`` is that of ``sdcpp lora inspect``. ``families`` are those of models that have the layers of the adapter.
    ``mismatch`` says that the model is of another family, or is "". ``schemes`` are the key schemes of the modules, the
    most frequent first. ``patches`` has those with which a revision applies the file, by revision, if it fails without.
    ``renamed`` has the apply modes in which a revision applies a GGUF file whose name ends in .safetensors. ``changed``
    are the predictions for a picture without the adapter after pictures with it (``prediction.after_changes``), and
    ``uses`` the cases about the flags and the batch that were asked for. ``asks_changes`` is true if later
    pictures count, too.
    """

    path: Path
    summary: AdapterSummary
    adapter: Layout
    families: tuple[str, ...]
    model: UserModel | None
    fit: Fit
    mismatch: str
    schemes: tuple[str, ...]
    predictions: tuple[Prediction, ...]
    patches: Mapping[str, tuple[str, ...]]
    renamed: Mapping[str, tuple[str, ...]]
    changed: tuple[Prediction, ...] = ()
    uses: tuple[str, ...] = ()
    asks_changes: bool = False

    @property
    def applicable(self) -> bool:
        """Whether the file is an adapter of which at least one module fits the model."""
        return bool(self.fit.modules)


def examine(
    path: Path,
    model: UserModel | None,
    revisions: Sequence[Revision],
    backend: str = "cpu",
    *,
    generation: GenerationSettings = USUAL_GENERATION,
    context: ContextSettings = USUAL_CONTEXT,
    asks_changes: bool = False,
    progress: Progress = unseen,
) -> Examination:
    """Return what is known about an adapter file that is used in some way.

    ``progress`` is called with the number of bytes read and their total. Raises the errors of ``read_tensors``.
    """
    summary = inspect(path, progress=progress)
    file = read_tensors(path)
    adapter = layout_of(file)
    families = model_family.of_adapter(adapter)
    sound = {key: module for key, module in adapter.modules.items() if not input_checks.problem(module)}
    fitted = fit(replace(adapter, modules=sound), model)
    family = (model.family if model else "") or (families[0] if families else "")
    found = likeness.groups(fitted.fitting, file.container, family, fitted.kinds)
    counts: dict[str, int] = {}
    for group in found:
        counts[group.scheme] = counts.get(group.scheme, 0) + group.count
    question = Question(
        adapter=found,
        needs={file.container, *(model.containers if model else ()), *context.flags},
        ignored_scale=fitted.ignored_scale,
        backend=backend,
        uses=names_of(generation, context),
        base_kind=base_kind(fitted.kinds),
    )
    expected = tuple(predictions(question, revisions)) if fitted.modules else ()
    failing = {each.revision for each in expected if each.causes and not each.patched}
    patches = {r.name: needed_patches(question, r) for r in revisions if r.name in failing}
    renamed: dict[str, tuple[str, ...]] = {}
    if any(FIND_GGUF in needed for needed in patches.values()):
        named = replace(
            question, adapter=likeness.groups(fitted.fitting, "safetensors", family, fitted.kinds)
        )
        passing = [p for p in predictions(named, revisions) if not p.patched and p.verdict is Verdict.PASS]
        renamed = {
            name: tuple(p.mode for p in passing if p.revision == name)
            for name, needed in patches.items()
            if FIND_GGUF in needed
        }
    return Examination(
        path=path,
        summary=summary,
        adapter=adapter,
        families=families,
        model=model,
        fit=fitted,
        mismatch=_mismatch(adapter, model),
        schemes=tuple(sorted(counts, key=lambda scheme: -counts[scheme])),
        predictions=expected,
        patches={name: needed for name, needed in patches.items() if needed},
        renamed={name: modes for name, modes in renamed.items() if modes},
        changed=tuple(after_changes(question, revisions)) if fitted.modules else (),
        uses=tuple(question.uses),
        asks_changes=asks_changes,
    )


def _mismatch(adapter: Layout, model: UserModel | None) -> str:
    """Return that the diffusion model is of another family than the adapter, or ""."""
    parts = model.parts if model else ()
    found = (model_family.mismatch(adapter, part.shapes) for part in parts if part.adapted)
    return next(filter(None, found), "")
