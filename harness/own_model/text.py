"""The text that ``sdcpp lora try`` prints about an examined file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from harness.converter import text
from harness.own_model import advice
from harness.own_model.examination import Examination
from harness.own_model.prediction import MODES, Prediction, auto_mode
from harness.records.verdict import Verdict
from harness.text import plural
from sdcpp.printable import printable

#: The most modules that do not fit which are shown unless all are asked for.
LINES = 5
#: How a prediction is shown for which nothing was tried.
NOT_TRIED = "not tried"
#: The part of a reason that names the page about it.
_DOCS = re.compile(r" \(docs/[^)]*\)")


def examination(
    examined: Examination,
    conclusion: str,
    tried: Sequence[str] = (),
    *,
    verbose: bool = False,
    quiet: bool = False,
) -> str:
    """Return the conclusion about a file, what it is, what each revision is expected to do, and what to do.

    ``tried`` are lines about what was tried. With ``verbose`` the text has all problems, and all reasons in full. With
    ``quiet`` it has the conclusion only.
    """
    summary = replace(examined.summary, conclusion=conclusion)
    lines = [text.summary(summary, verbose=verbose, quiet=quiet)]
    if quiet:
        return lines[0]
    rest = [
        *_model(examined, verbose=verbose),
        *tried,
        *_tables(examined, verbose=verbose),
    ]
    found = advice.remedies(examined)
    if found:
        rest += ["  what to do:", *(f"  - {each}" for each in found)]
    return "\n".join([*lines, *map(printable, rest)])


def _model(examined: Examination, *, verbose: bool) -> Iterator[str]:
    """Yield what the model is, and how much of the adapter fits."""
    model, fit = examined.model, examined.fit
    if model is None:
        return
    total = len(examined.adapter.modules)
    files = ", ".join(path.name for path in model.files.values())
    yield (
        f"  model: {model.family or 'of an unknown family'}, {model.kind}, {text.size_text(model.bytes)} ({files}); "
        f"{fit.modules} of {plural(total, 'module')} {'fits' if total == 1 else 'fit'}"
    )
    for line in model.unreadable:
        yield f"  ! {line}"
    shown = fit.problems if verbose else fit.problems[:LINES]
    yield from (f"  ! {problem}" for problem in shown)
    if len(fit.problems) > len(shown):
        yield f"  ! {len(fit.problems) - len(shown)} more, which --verbose shows"
    if fit.elsewhere:
        keys = ", ".join(fit.elsewhere[: None if verbose else 3])
        yield f"  note: {plural(len(fit.elsewhere), 'module')} for parts that the given files lack: {keys}"


def _tables(examined: Examination, *, verbose: bool) -> Iterator[str]:
    """Yield the tables of predictions and the reasons. What is expected after changes is shown where it fails."""
    model, found = examined.model, examined.predictions
    if not found:
        return
    notes: dict[str, str] = {}
    uses = f" with {advice.joined(examined.uses)}" if examined.uses else ""
    yield from _table(f"expected{uses} of", found, notes)
    chosen = auto_mode(quantised=bool(model and model.quantised))
    yield f"  mode auto is {chosen} for {'this model' if model else 'a model that is not quantised'}"
    failing = {each.revision for each in examined.changed if each.verdict not in (Verdict.PASS, None)}
    if failing:
        yield "  of a later picture without it in the same process, after several multipliers:"
        later = [each for each in examined.changed if each.revision in failing]
        yield from _table("expected of", later, notes)
    for reason, mark in notes.items():
        yield f"  {mark} {reason if verbose else _DOCS.sub('', reason)}"


def _table(head: str, found: Sequence[Prediction], notes: dict[str, str]) -> Iterator[str]:
    """Yield a table of predictions; the marks of their reasons are added to ``notes``."""
    rows: list[tuple[str, ...]] = [(head, "patches", *MODES)]
    for revision, patched in dict.fromkeys((each.revision, each.patched) for each in found):
        of = {each.mode: each for each in found if (each.revision, each.patched) == (revision, patched)}
        cells = (_cell(of[mode], notes) if mode in of else "" for mode in MODES)
        rows.append((revision, "with" if patched else "without", *cells))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  " + "  ".join(f"{value:{width}}" for value, width in zip(row, widths, strict=True)).rstrip()


def _cell(prediction: Prediction, notes: dict[str, str]) -> str:
    """Return the verdict with the marks of its reasons, which are added to ``notes``."""
    if prediction.verdict is None:
        return NOT_TRIED
    marks = []
    for cause in prediction.causes:
        count = "" if cause.modules == prediction.total else f"{plural(cause.modules, 'module')}: "
        fix = f" [patch {cause.patch}]" if cause.patch else ""
        note = f"{count}{cause.reason}{fix}"
        marks.append(notes.setdefault(note, f"[{len(notes) + 1}]"))
    return " ".join((str(prediction.verdict), *marks))


def as_json(examined: Examination) -> dict[str, Any]:
    """Return what is known about a file as values that JSON supports."""
    model, fit = examined.model, examined.fit
    return {
        "path": examined.path.name,
        "conclusion": advice.conclusion(examined),
        "works": advice.works(examined),
        "file": examined.summary.as_json(),
        "families": examined.families,
        "schemes": examined.schemes,
        "model": None
        if model is None
        else {
            "family": model.family,
            "type": model.kind,
            "bytes": model.bytes,
            "files": {role: path.name for role, path in model.files.items()},
            "unreadable": model.unreadable,
            "auto": auto_mode(quantised=model.quantised),
        },
        "fit": {
            "modules": len(examined.adapter.modules),
            "fitting": fit.modules,
            "problems": fit.problems,
            "elsewhere": fit.elsewhere,
        },
        "uses": examined.uses,
        "expected": [_prediction(each) for each in examined.predictions],
        "expected_after_changes": [_prediction(each) for each in examined.changed],
        "remedies": advice.remedies(examined),
    }


def _prediction(prediction: Prediction) -> dict[str, Any]:
    return {
        "revision": prediction.revision,
        "patched": prediction.patched,
        "mode": prediction.mode,
        "verdict": prediction.verdict,
        "causes": [
            {
                "verdict": cause.verdict,
                "modules": cause.modules,
                "example": cause.example,
                "reason": cause.reason,
                "patch": cause.patch,
            }
            for cause in prediction.causes
        ],
    }
