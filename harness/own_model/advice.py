"""The conclusion about an adapter file, and what to do, from predictions."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.converter import family_choice
from harness.converter.layer_groups import groups
from harness.converter.revision_limits import Limits
from harness.own_model.examination import Examination
from harness.own_model.model import Part, UserModel
from harness.own_model.prediction import MODES, Prediction, auto_mode
from harness.records.verdict import Verdict
from harness.text import plural
from sdcpp.errors import AdapterUnknown

#: What one revision and what several do with an adapter, for each verdict.
_WORDS = {
    Verdict.PASS: ("applies it", "apply it"),
    Verdict.NO_EFFECT: ("ignores it", "ignore it"),
    Verdict.WRONG: ("applies it wrongly", "apply it wrongly"),
    Verdict.ABORT: ("aborts", "abort"),
    Verdict.TIMEOUT: ("hangs", "hang"),
    Verdict.REFUSED: ("refuses it", "refuse it"),
    Verdict.UNSUPPORTED: ("cannot read it", "cannot read it"),
    None: ("was never tried with such a file", "were never tried with such a file"),
}


def works(examined: Examination) -> bool:
    """Return whether every revision without patches is expected to apply the file in every apply mode.

    Pictures after changes of the multiplier count if they were asked for.
    """
    plain = unpatched(examined)
    if examined.asks_changes and spoiled(examined):
        return False
    wrong = examined.fit.problems or examined.summary.complaints
    return bool(plain) and not wrong and all(p.verdict is Verdict.PASS for p in plain)


def unpatched(examined: Examination) -> list[Prediction]:
    """Return the predictions for builds without the patches."""
    return [each for each in examined.predictions if not each.patched]


def spoiled(examined: Examination) -> dict[str, list[str]]:
    """Return the apply modes in which a revision without patches spoils pictures after changes of the multiplier."""
    found: dict[str, list[str]] = {}
    for each in examined.changed:
        if not each.patched and each.verdict not in (Verdict.PASS, None):
            found.setdefault(each.revision, []).append(each.mode)
    return found


def conclusion(examined: Examination) -> str:
    """Return the answer in one line: what the file is, whether it fits, and what the revisions do with it."""
    summary = examined.summary
    if not examined.adapter.modules or "not supported" in summary.conclusion:
        return summary.conclusion
    what = described(examined)
    if examined.mismatch and examined.fit.problems:
        return f"{examined.mismatch}: no build can apply it"
    count = len(summary.complaints)
    if not examined.applicable:
        if count:
            return f"{what} that no build can apply rightly: {summary.complaints[0]}"
        where = "the files of the model that are given have" if examined.fit.elsewhere else "the model has"
        return f"{what}: {where} no place for any of its {plural(len(examined.adapter.modules), 'module')}"
    said = [f"{plural(count, 'problem')} of the file"] if count else []
    if examined.fit.problems:
        count, total = len(examined.fit.problems), len(examined.adapter.modules)
        said.append(
            f"{count} of {plural(total, 'module')} {'does' if count == 1 else 'do'} not fit the model"
        )
    elif examined.model:
        said.append("it fits the model")
    said.append(_behaviour(unpatched(examined)))
    if examined.asks_changes and (later := spoiled(examined)):
        spots = [f"{name} in mode {joined(modes)}" for name, modes in later.items()]
        said.append(
            f"after other multipliers in one context, a picture without it is wrong with {joined(spots)}"
        )
    return f"{what}: " + "; ".join(said)


def described(examined: Examination) -> str:
    """Return what a file is, such as "a LoRA for FLUX.1". The family is that of the model if the file fits it."""
    said = examined.summary.conclusion.partition(": ")[0]
    family = examined.model.family if examined.model and examined.applicable and not examined.mismatch else ""
    return f"{said.partition(' for ')[0]} for {family}" if family else said


def _behaviour(plain: Sequence[Prediction]) -> str:
    """Return what the revisions do without patches, in few words."""
    grouped: dict[tuple[tuple[str, Verdict | None], ...], list[str]] = {}
    for revision in dict.fromkeys(each.revision for each in plain):
        modes = tuple((each.mode, each.verdict) for each in plain if each.revision == revision)
        grouped.setdefault(modes, []).append(revision)
    phrases = []
    for modes, revisions in sorted(grouped.items(), key=lambda each: _severity(each[0])):
        verdicts = {verdict for _, verdict in modes}
        many = len(revisions) > 1
        if len(verdicts) == 1:
            phrases.append(f"{joined(revisions)} {_WORDS[verdicts.pop()][many]}")
            continue
        parts = [f"{_WORDS[verdict][many]} in mode {mode}" for mode, verdict in modes]
        phrases.append(f"{joined(revisions)} {' and '.join(parts)}")
    return "without patches, " + ", ".join(phrases)


def _severity(modes: Iterable[tuple[str, Verdict | None]]) -> int:
    """Return a number by which failures come before successes."""
    return sum(verdict is Verdict.PASS for _, verdict in modes)


def remedies(examined: Examination) -> list[str]:
    """Return what to do, the least work first; nothing if every revision is expected to apply the file."""
    plain = unpatched(examined)
    if not examined.applicable or all(each.verdict in (Verdict.PASS, None) for each in plain):
        return [*_without_fit(examined), *_changes(examined)]
    return [
        *_modes(examined),
        *_renaming(examined),
        *_alpha(examined),
        *_patches(examined),
        *_conversion(examined),
        *_merging(examined),
        *_changes(examined),
    ]


def _without_fit(examined: Examination) -> list[str]:
    """Return what to do about a file of which nothing fits, or that works."""
    if examined.mismatch:
        return [f"use it with a model of the family {' or '.join(examined.families)}"]
    if examined.fit.elsewhere and not examined.applicable:
        return ["give the other files of the model, too, such as --clip_l, --t5xxl or --llm"]
    unknown = list(dict.fromkeys(each.revision for each in unpatched(examined) if each.verdict is None))
    return [f"try it with pictures: add --revision {unknown[-1]}"] if unknown else []


def _modes(examined: Examination) -> list[str]:
    """Return the apply modes that work where others do not."""
    usable: dict[str, list[str]] = {}
    chosen = auto_mode(quantised=bool(examined.model and examined.model.quantised))
    plain = unpatched(examined)
    for revision in dict.fromkeys(each.revision for each in plain):
        good = [each.mode for each in plain if each.revision == revision and each.verdict is Verdict.PASS]
        if good and len(good) < len(MODES):
            usable.setdefault(good[0], []).append(revision)
    return [
        f"use --lora-apply-mode {mode} with {joined(revisions)}"
        + (" (auto chooses it for this model)" if mode == chosen and examined.model else "")
        for mode, revisions in usable.items()
    ]


def _renaming(examined: Examination) -> list[str]:
    """Return the name under which a revision finds a GGUF file: its loader looks at the content."""
    lines = []
    for revision, modes in examined.renamed.items():
        mode = "" if len(modes) == len(MODES) else f", and use --lora-apply-mode {modes[0]}"
        lines.append(
            f"for {revision}, name the file {examined.path.stem}.safetensors{mode}: it looks for that name only, and "
            "reads GGUF under it"
        )
    return lines


def _alpha(examined: Examination) -> list[str]:
    """Return how to write alpha as tensors, if the library does not see it."""
    if not examined.fit.ignored_scale:
        return []
    return [f"write alpha as tensors: {_convert(examined.path)}"]


def _patches(examined: Examination) -> list[str]:
    """Return the patches with which a revision applies the file in every apply mode."""
    needed: dict[tuple[str, ...], list[str]] = {}
    for revision, patches in examined.patches.items():
        needed.setdefault(patches, []).append(revision)
    return [
        f"build {joined(revisions)} with the {'patch' if len(patches) == 1 else 'patches'} {joined(patches)}: "
        f"sdcpp build --side patched --revision {revisions[-1]}"
        for patches, revisions in needed.items()
    ]


def _conversion(examined: Examination) -> list[str]:
    """Return the conversion for a revision that fails in a mode."""
    failing = [
        each.revision for each in unpatched(examined) if any(not cause.about_model for cause in each.causes)
    ]
    if not failing:
        return []
    command = _convert(examined.path, failing[-1])
    part = _adapted_part(examined.model)
    dora = any(module.dora for module in examined.adapter.modules.values())
    if dora or (part and len(examined.families) > 1):
        # The change of a DoRA depends on the model, and so do names that several families have.
        command += f" --base-model {shlex.quote(str(part.path)) if part else 'MODEL'}"
    out_of_reach = _out_of_reach(examined)
    if out_of_reach == len(examined.adapter.modules):
        return []
    without = ""
    if out_of_reach:
        without = f", without {plural(out_of_reach, 'module')} that no unpatched revision can apply"
        command += " --force"
    return [f"write it in a form that an unpatched revision applies{without}: {command}"]


def _out_of_reach(examined: Examination) -> int:
    """Return the number of modules that ``sdcpp lora convert --for`` refuses: replaced layers, and some norms."""
    families = family_choice.candidates(examined.adapter)
    try:
        found = groups(examined.adapter, families[0] if families else None)
    except AdapterUnknown:
        return 0
    return sum(
        len(group.modules)
        for group in found
        if any(module.kind == "replaced" for module in group.modules)
        or Limits.unreachable(group.family, group.component, group.layer)
    )


def _changes(examined: Examination) -> list[str]:
    """Return what to do if LoRAs or multipliers change in one process."""
    lines = []
    for name, modes in spoiled(examined).items():
        others = [
            each.mode
            for each in examined.changed
            if (each.revision, each.patched, each.verdict) == (name, False, Verdict.PASS)
        ]
        patches = dict.fromkeys(
            cause.patch
            for each in examined.changed
            if (each.revision, each.patched) == (name, False)
            for cause in each.causes
            if cause.patch
        )
        spoiled_too = {
            each.mode
            for each in examined.changed
            if (each.revision, each.patched) == (name, True) and each.verdict not in (Verdict.PASS, None)
        }
        if spoiled_too & set(modes):
            patches = {}
        ways = [f"use --lora-apply-mode {others[0]}"] if others else []
        if patches:
            ways.append(
                f"build with the {'patch' if len(patches) == 1 else 'patches'} {joined(list(patches))}"
            )
        lines.append(
            f"where LoRAs or multipliers change in one process, as in a server, with {name}: "
            f"{', or '.join([*ways, 'open a new context'])}"
        )
    return lines


def _convert(path: Path, revision: str = "") -> str:
    target = path.with_name(f"{path.stem}-{revision or 'alpha'}.safetensors")
    end = f" --for {revision}" if revision else ""
    return f"sdcpp lora convert {shlex.quote(str(path))} {shlex.quote(str(target))}{end}"


def _merging(examined: Examination) -> list[str]:
    """Return how to merge a file into a model of a single file."""
    model = examined.model
    if model is None or examined.fit.problems or examined.adapter.other_tensors:
        return []
    part = _adapted_part(model)
    if part is None:
        return []
    target = f"merged{part.path.suffix}"
    words = ["sdcpp", "lora", "merge", str(part.path), str(examined.path), target]
    return [f"merge it into the model, which every revision reads: {shlex.join(words)}"]


def _adapted_part(model: UserModel | None) -> Part | None:
    """Return the first part of a model that adapters change and that is a file of its own."""
    return next((part for part in model.parts if part.adapted and not part.inside), None) if model else None


def joined(words: Sequence[str]) -> str:
    """Return words with commas and "and"."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
