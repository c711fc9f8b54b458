"""What was tried with pictures, as text and as values for JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.own_model import advice
from harness.own_model.examination import Examination
from harness.own_model.pictures import Trial, Tried
from harness.records.verdict import Verdict
from harness.text import number, one_line

#: What to do if a model makes no picture.
_OTHER_FILES = "give the other files of the model, too, such as --clip_l, --t5xxl, --llm and --vae or --taesd"


def conclusion(examined: Examination, trials: Sequence[Trial]) -> str:
    """Return the answer in one line: what the builds did with a file."""
    said = [_said(trial) for trial in trials]
    return f"{advice.described(examined)}: " + "; ".join(said)


def _said(trial: Trial) -> str:
    """Return what a build did, in few words."""
    where = f"{trial.revision} {'with' if trial.patched else 'without'} patches on {trial.backend}"
    if trial.base_failure:
        failure = one_line(trial.base_failure, 200)
        return f"{where} cannot be judged, because the model makes no picture without it: {failure}"
    if trial.works:
        return f"{where} applies it in every apply mode that was tried"
    parts = []
    for tried in trial.tried:
        error = tried.comparison.error
        measured = "" if error is None else f" (effect error {number(error)})"
        parts.append(f"{tried.comparison.verdict}{measured} in mode {tried.title}")
    failing = {tried.mode for tried in trial.tried if tried.comparison.verdict is not Verdict.PASS}
    working = [tried.mode for tried in trial.tried if tried.mode not in failing]
    advised = f"; use --lora-apply-mode {working[0]}" if working else ""
    return f"{where}: {', '.join(parts)}{advised}"


def lines(examined: Examination, trials: Sequence[Trial], *, verbose: bool = False) -> Iterator[str]:
    """Yield what each build did in each apply mode, with the reasons. ``verbose`` adds the library's log."""
    for trial in trials:
        yield f"  tried with {trial.label} on {trial.backend}:"
        if trial.no_reference:
            yield f"    the adapter cannot be merged beforehand: {trial.no_reference}"
        if trial.base_failure:
            yield f"    ! no picture without the adapter: {one_line(trial.base_failure, 400)}"
            yield f"      {_OTHER_FILES}"
            continue
        for tried in trial.tried:
            expected = _expected(examined, trial, tried)
            yield f"    {tried.title:12} {tried.comparison.verdict:10} {numbers(tried)}{expected}"
            if tried.comparison.evidence:
                yield from (f"      {line}" for line in tried.comparison.evidence.splitlines())
            if tried.comparison.verdict is Verdict.UNJUDGED and tried.comparison.effect is not None:
                yield "      try more --steps, another --prompt, or a larger multiplier: FILE@2"
            if verbose:
                yield from (f"      log: {line}" for line in tried.log)


def numbers(tried: Tried) -> str:
    """Return the effect error with its bound, the loss, and the effect, as text."""
    found = tried.comparison
    said = []
    if found.error is not None and found.tolerance is not None:
        said.append(f"effect error {number(found.error)} of at most {number(found.tolerance.bound)}")
    if found.loss is not None:
        said.append(f"loss {number(found.loss)} against the source")
    if found.effect is not None:
        said.append(f"the adapter changes the picture by {number(found.effect)} grey levels")
    return ", ".join(said)


def _expected(examined: Examination, trial: Trial, tried: Tried) -> str:
    """Return whether the verdict is the predicted one; "" if nothing was predicted or the verdict says nothing."""
    of = (
        each
        for each in (examined.changed if tried.changed else examined.predictions)
        if (each.revision, each.patched) == (trial.revision, trial.patched)
    )
    predicted = {each.mode: each.verdict for each in of}.get(tried.mode)
    if predicted is None or tried.comparison.verdict is Verdict.UNJUDGED:
        return ""
    return "" if predicted is tried.comparison.verdict else f" (expected {predicted})"


def status(trials: Sequence[Trial]) -> int:
    """Return 0 if every apply mode of every build passes, 63 if nothing can be judged, and otherwise 1."""
    if all(trial.works for trial in trials):
        return 0
    verdicts = {tried.comparison.verdict for trial in trials for tried in trial.tried}
    return 63 if verdicts <= {Verdict.UNJUDGED} or all(trial.base_failure for trial in trials) else 1


def as_json(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Return what was tried as values that JSON supports."""
    return [
        {
            "revision": trial.revision,
            "patched": trial.patched,
            "backend": trial.backend,
            "base_failure": trial.base_failure,
            "no_reference": trial.no_reference,
            "modes": [
                {
                    "mode": tried.mode,
                    "after_changes": tried.changed,
                    "verdict": tried.comparison.verdict,
                    "effect": tried.comparison.effect,
                    "effect_error": tried.comparison.error,
                    "loss": tried.comparison.loss,
                    "tolerance": tried.comparison.tolerance.bound if tried.comparison.tolerance else None,
                    "evidence": tried.comparison.evidence,
                    "log": tried.log,
                }
                for tried in trial.tried
            ],
        }
        for trial in trials
    ]
