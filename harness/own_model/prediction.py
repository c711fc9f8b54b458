"""Predict what each revision does with an adapter in each apply mode, without running anything.

``harness/expectations.toml`` has the failures, and ``measured.json`` what was tried. The verdict on a file follows from
those on its modules.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.adapters.key_schemes import SCHEMES
from harness.judging import expectation
from harness.judging.expectation import Expectation
from harness.own_model import measured, uses
from harness.own_model.likeness import LikeCase, ModuleGroup
from harness.records.verdict import Verdict
from sdcpp.patching import series
from sdcpp.source.revision import Revision

#: The apply modes of the library's API that differ; auto is one of these two.
MODES = ("immediately", "at_runtime")
#: The worst first, for a module that several cases are about.
_SEVERITY = (Verdict.ABORT, Verdict.TIMEOUT, Verdict.REFUSED, Verdict.NO_EFFECT, Verdict.WRONG)

#: A case that fails, the entry that says so, and the verdict.
_Failure = tuple[LikeCase, Expectation, Verdict]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why modules fail: the verdict on them, the reason, the patch that fixes it or "", and their number.

    ``example`` is the key of one of these modules. ``about_model`` is true if the adapter is not the reason.
    """

    verdict: Verdict
    reason: str
    patch: str
    modules: int
    example: str
    about_model: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a revision is expected to do with an adapter in an apply mode.

    ``verdict`` is None if nothing like it was tried on the revision. ``modules`` is the number of modules that fail,
    ``total`` that of all that the model has a place for.
    """

    revision: str
    patched: bool
    mode: str
    verdict: Verdict | None
    causes: tuple[Cause, ...]
    modules: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of each revision.

    ``adapter`` are the modules that the model has a place for. ``ignored_scale`` is the number of those whose scale is
    declared in the metadata only. ``needs`` are the containers of the adapter and of the model, and the flags of the
    context. ``uses`` are names of cases about flags and batches, and ``base_kind`` is the type of the model's weights
    (``uses.base_kind``).
    """

    adapter: Sequence[ModuleGroup]
    needs: Collection[str]
    ignored_scale: int = 0
    backend: str = "cpu"
    uses: Sequence[str] = ()
    base_kind: str = "F16"


def predictions(question: Question, revisions: Iterable[Revision]) -> list[Prediction]:
    """Return the predictions for revisions, without and with the patches, in every apply mode."""
    return [
        _prediction(question, revision, mode, _all_patches() if patched else frozenset())
        for revision in revisions
        for patched in (False, True)
        for mode in MODES
    ]


def after_changes(question: Question, revisions: Iterable[Revision]) -> list[Prediction]:
    """Return the predictions for a picture without the adapter, after pictures with it in the same context.

    Those had several multipliers. Where the adapter is not expected to change a picture, nothing is predicted.
    """
    found = []
    for first in predictions(question, revisions):
        if first.verdict not in (Verdict.PASS, Verdict.WRONG):
            continue
        base = question.adapter[0].base
        exact = uses.like_changes(base, question.base_kind, question.uses)
        # A failure without the other uses is one with them, too, but a case that passes without them says nothing.
        case = exact or uses.like_changes(base, question.base_kind)
        assert case is not None  # noqa: S101 - there is one without other uses
        patches = _all_patches() if first.patched else frozenset()
        failures = _one_after_the_other(case, first.revision, first.mode, question.backend, patches)
        causes = [_cause(failure, first.total, "") for failure in failures]
        tried = bool(causes) or (
            exact is not None
            and measured.tried(first.revision, question.backend, base, case.dimensions["sequence"])
        )
        verdict = _verdict(causes[:1], first.total, tried=tried)
        found.append(
            replace(first, verdict=verdict, causes=tuple(causes), modules=first.total if causes else 0)
        )
    return found


def _one_after_the_other(
    case: LikeCase, revision: str, mode: str, backend: str, patches: frozenset[str]
) -> list[_Failure]:
    """Return the failure to expect of what is like a case, and each that comes to light with the patch against it."""
    found: list[_Failure] = []
    while failure := _of_cases([case], revision, mode, backend, patches):
        found.append(failure)
        _, entry, _ = failure
        if not entry.without_patch:
            break
        patches |= {entry.without_patch}
    return found


def needed_patches(question: Question, revision: Revision) -> tuple[str, ...]:
    """Return the patches with which a revision applies an adapter in every apply mode, or nothing if none help.

    A failure can hide another one, so patches are added until nothing fails.
    """
    patches: tuple[str, ...] = ()
    while True:
        found = [_prediction(question, revision, mode, frozenset(patches)) for mode in MODES]
        causes = [cause for each in found for cause in each.causes]
        if not causes:
            return patches
        new = tuple(dict.fromkeys(cause.patch for cause in causes if cause.patch not in patches))
        if not all(cause.patch for cause in causes) or not new:
            return ()
        patches += new


def auto_mode(*, quantised: bool) -> str:
    """Return the apply mode that the library chooses in mode auto."""
    return "at_runtime" if quantised else "immediately"


def _prediction(question: Question, revision: Revision, mode: str, patches: frozenset[str]) -> Prediction:
    total = sum(group.count for group in question.adapter)
    lacking = [reason for name, reason in revision.lacks if name in question.needs]
    causes: list[Cause] = []
    if lacking:
        causes.append(
            Cause(verdict=Verdict.UNSUPPORTED, reason=lacking[0], patch="", modules=total, example="")
        )
    tried = True
    for group in question.adapter:
        if lacking:
            break
        found = _of_cases(group.cases, revision.name, mode, question.backend, patches)
        tried = tried and (found is not None or measured.tried(revision.name, question.backend, group.base))
        tried = tried and (found is not None or group.scheme in SCHEMES)
        if found is not None:
            causes.append(_cause(found, group.count, group.example))
    for use in uses.like_uses(question.uses, question.adapter[0].base if question.adapter else ""):
        if lacking:
            break
        found = _of_cases([use], revision.name, mode, question.backend, patches)
        base = use.dimensions["base"]
        tried = tried and (
            found is not None or measured.tried(revision.name, question.backend, base, use.name)
        )
        if found is not None:
            causes.append(_cause(found, total, ""))
    if question.ignored_scale and not lacking:
        causes.append(
            Cause(
                verdict=Verdict.WRONG,
                reason="the library reads alpha from tensors only, and this file has it in its metadata",
                patch="",
                modules=question.ignored_scale,
                example="",
            )
        )
    merged = _merged(causes)
    return Prediction(
        revision=revision.name,
        patched=bool(patches),
        mode=mode,
        verdict=_verdict(merged, total, tried=tried),
        causes=merged,
        modules=min(total, sum(cause.modules for cause in merged)),
        total=total,
    )


@functools.cache
def _all_patches() -> frozenset[str]:
    return frozenset(series.names())


def _cause(found: _Failure, modules: int, example: str) -> Cause:
    case, entry, verdict = found
    return Cause(
        verdict=verdict,
        reason=entry.reason,
        patch=entry.without_patch,
        modules=modules,
        example=example,
        about_model=case.about_model,
    )


def _of_cases(
    cases: Iterable[LikeCase], revision: str, mode: str, backend: str, patches: frozenset[str]
) -> _Failure | None:
    """Return the failure to expect of what is like these cases, the case that has it, and its verdict, or None."""
    found: list[_Failure] = []
    for case in cases:
        entry = _entry(case, revision, mode, backend, patches)
        verdict = next((v for v in entry.verdicts if v is not Verdict.PASS), None) if entry else None
        if entry is not None and verdict in _SEVERITY:
            found.append((case, entry, verdict))
    return min(found, key=_precedence) if found else None


def _precedence(found: _Failure) -> tuple[bool, int]:
    """Return a key that is smaller for what happens first: names that are not found, then the worst."""
    case, _, verdict = found
    ignored = case.about_names and verdict is Verdict.NO_EFFECT
    return not ignored, _SEVERITY.index(verdict)


def _entry(
    case: LikeCase, revision: str, mode: str, backend: str, patches: frozenset[str]
) -> Expectation | None:
    return expectation.first_match(
        _expected(),
        patches=patches,
        revision=revision,
        backend=backend,
        case=case.name,
        dimensions={**case.dimensions, "mode": mode},
    )


@functools.cache
def _expected() -> tuple[Expectation, ...]:
    return tuple(expectation.load())


def _merged(causes: Iterable[Cause]) -> tuple[Cause, ...]:
    """Return the causes with those of equal reason and verdict as one, those of most modules first."""
    found: dict[tuple[Verdict, str, str], Cause] = {}
    for cause in causes:
        key = cause.verdict, cause.reason, cause.patch
        before = found.get(key)
        found[key] = Cause(
            verdict=cause.verdict,
            reason=cause.reason,
            patch=cause.patch,
            modules=cause.modules + (before.modules if before else 0),
            example=before.example if before else cause.example,
            about_model=cause.about_model,
        )
    return tuple(sorted(found.values(), key=lambda cause: -cause.modules))


def _verdict(causes: Sequence[Cause], total: int, *, tried: bool) -> Verdict | None:
    """Return the verdict on a file of ``total`` modules, or None if nothing like it was tried."""
    verdicts: Mapping[Verdict, int] = {
        each: sum(cause.modules for cause in causes if cause.verdict is each)
        for each in dict.fromkeys(cause.verdict for cause in causes)
    }
    if not verdicts:
        return Verdict.PASS if tried else None
    if verdicts.get(Verdict.NO_EFFECT, 0) >= total:
        return Verdict.NO_EFFECT
    for verdict in (Verdict.UNSUPPORTED, Verdict.ABORT, Verdict.TIMEOUT, Verdict.REFUSED):
        if verdict in verdicts:
            return verdict
    return Verdict.WRONG
