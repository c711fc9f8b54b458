"""The text that ``sdcpp lora try`` prints about an examined file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from harness.converter import text
from harness.own_model import advice
from harness.own_model.examination import Examination
from harness.own_model.model import UserModel
from harness.own_model.prediction import MODES, Prediction, auto_mode
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
        *_table(examined.predictions, examined.model, verbose=verbose),
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
        f"{fit.modules} of {plural(total, 'module')} fit"
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


def _table(found: tuple[Prediction, ...], model: UserModel | None, *, verbose: bool) -> Iterator[str]:
    """Yield the table of predictions and the reasons."""
    if not found:
        return
    chosen = auto_mode(quantised=bool(model and model.quantised))
    notes: dict[str, str] = {}
    rows: list[tuple[str, ...]] = [("expected of", "patches", *MODES)]
    for revision, patched in dict.fromkeys((each.revision, each.patched) for each in found):
        of = {each.mode: each for each in found if (each.revision, each.patched) == (revision, patched)}
        cells = (_cell(of[mode], notes) for mode in MODES)
        rows.append((revision, "with" if patched else "without", *cells))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  " + "  ".join(f"{value:{width}}" for value, width in zip(row, widths, strict=True)).rstrip()
    yield f"  mode auto is {chosen} for {'this model' if model else 'a model that is not quantised'}"
    for reason, mark in notes.items():
        yield f"  {mark} {reason if verbose else _DOCS.sub('', reason)}"


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
        "expected": [
            {
                "revision": each.revision,
                "patched": each.patched,
                "mode": each.mode,
                "verdict": each.verdict,
                "causes": [
                    {
                        "verdict": cause.verdict,
                        "modules": cause.modules,
                        "example": cause.example,
                        "reason": cause.reason,
                        "patch": cause.patch,
                    }
                    for cause in each.causes
                ],
            }
            for each in examined.predictions
        ],
        "remedies": advice.remedies(examined),
    }
