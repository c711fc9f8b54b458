"""The page with the pictures of a trial: without the adapter, wanted, got, and the difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.own_model.examination import Examination
from harness.own_model.pictures import Settings, Trial, Tried
from harness.own_model.results import numbers
from harness.records.verdict import Verdict
from harness.reports import pictures, templating

#: The class of the style sheet for a verdict.
_CLASSES = {Verdict.PASS: "PASS", Verdict.UNJUDGED: "SKIPPED", Verdict.UNSUPPORTED: "SKIPPED"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A file with its examination, what the builds did, and the conclusion."""

    examined: Examination
    trials: Sequence[Trial]
    conclusion: str
    works: bool


def write(shown: Sequence[Shown], settings: Settings) -> str:
    """Return the page about files as HTML. All pictures are in it."""
    return templating.fill(
        "own_model.html.j2",
        files=[_file(each) for each in shown],
        prompt=settings.prompt,
        size=f"{settings.width}x{settings.height}",
        steps=settings.steps,
        seed=settings.seed,
    )


def _file(shown: Shown) -> Mapping[str, Any]:
    model = shown.examined.model
    return {
        "name": shown.examined.path.name,
        "conclusion": shown.conclusion,
        "works": shown.works,
        "model": "" if model is None else ", ".join(path.name for path in model.files.values()),
        "trials": [_trial(trial) for trial in shown.trials],
    }


def _trial(trial: Trial) -> Mapping[str, Any]:
    return {
        "label": f"{trial.label}, {trial.backend}",
        "failure": trial.base_failure,
        "no_reference": trial.no_reference,
        "modes": [_mode(tried, trial) for tried in trial.tried],
    }


def _mode(tried: Tried, trial: Trial) -> Mapping[str, Any]:
    of = {
        label: trial.records.pictures[digest] for label, digest in tried.comparison.pictures.items() if digest
    }
    labels = ("without", "wanted", "got")
    shown: list[tuple[str, str]] = [(label, pictures.data_uri(of[label])) for label in labels if label in of]
    if {"got", "wanted"} <= of.keys() and of["got"].shape == of["wanted"].shape:
        difference, factor, _ = pictures.difference(of["got"], of["wanted"])
        shown.append((f"difference, times {factor}", pictures.data_uri(difference)))
    return {
        "name": tried.title,
        "verdict": tried.comparison.verdict,
        "style": _CLASSES.get(tried.comparison.verdict, "UNEXPECTED"),
        "numbers": numbers(tried),
        "evidence": tried.comparison.evidence,
        "log": tried.log,
        "pictures": shown,
    }
