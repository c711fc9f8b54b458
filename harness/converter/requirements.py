"""Say which revisions of stable-diffusion.cpp apply an adapter file, and in which apply mode.

The answer is a prediction from ``harness/expectations.toml``: each module of the file is looked up there as a case of
its kind, type, rank and target would be. Nothing is run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.converter import model_family
from harness.converter.modules import Layout, Module, layout_of, scheme
from harness.formats.tensor import File
from harness.judging import expectation
from harness.judging.expectation import Expectation
from harness.layers import components
from harness.records.verdict import Verdict

MODES = ("auto", "at_runtime", "immediately")
#: What one revision and what several do with an adapter, for each verdict.
_WORDS = {
    Verdict.NO_EFFECT: ("ignores it", "ignore it"),
    Verdict.WRONG: ("applies it wrongly", "apply it wrongly"),
    Verdict.ABORT: ("aborts", "abort"),
    Verdict.TIMEOUT: ("hangs", "hang"),
    Verdict.REFUSED: ("refuses it", "refuse it"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortcoming:
    """What an unpatched revision does wrong with a file on the CPU.

    ``modes`` are the apply modes in which it does that, ``modules`` the number of affected modules. ``patch`` is the
    patch of this project that fixes it, or "".
    """

    revision: str
    modes: tuple[str, ...]
    verdict: Verdict
    reason: str
    patch: str
    modules: int


def shortcomings(file: File) -> list[Shortcoming]:
    """Return what the unpatched revisions do wrong with an adapter file, by revision; nothing if all apply it."""
    adapter = layout_of(file)
    expected = expectation.load()
    revisions = sorted({name for entry in expected for name in entry.revisions})
    entries = {id(entry): entry for entry in expected}
    counts: dict[tuple[str, int], dict[str, int]] = {}
    for facts, number in _facts(file, adapter).items():
        for revision in revisions:
            for mode in MODES:
                entry = _entry(expected, revision, {**dict(facts), "mode": mode})
                if entry is not None:
                    modes = counts.setdefault((revision, id(entry)), {})
                    modes[mode] = modes.get(mode, 0) + number
    return [
        Shortcoming(
            revision=revision,
            modes=tuple(mode for mode in MODES if mode in modes),
            verdict=next(v for v in entries[key].verdicts if v is not Verdict.PASS),
            reason=entries[key].reason,
            patch=entries[key].without_patch,
            modules=max(modes.values()),
        )
        for (revision, key), modes in counts.items()
    ]


def _entry(expected: Iterable[Expectation], revision: str, facts: Mapping[str, str]) -> Expectation | None:
    """Return the entry that applies to a module of these dimensions on an unpatched revision on the CPU, or None."""
    place = "" if facts["targets"] == "linear" else f"{facts['targets']}-"
    rank = "r1-" if facts["rank"] == "1" else ""
    case = f"{facts['kind']}-{place}{rank}{facts['container']}-{facts['type']}"
    return next(
        (
            entry
            for entry in expected
            if entry.matches(patches=(), revision=revision, backend="cpu", case=case, dimensions=facts)
        ),
        None,
    )


def _facts(file: File, adapter: Layout) -> dict[tuple[tuple[str, str], ...], int]:
    """Return the dimensions of the modules of a file as those of a case, with the number of such modules."""
    names = scheme(file.tensors)
    unet = any(map(model_family.has_unet, model_family.of_adapter(adapter)))
    counts: dict[tuple[tuple[str, str], ...], int] = {}
    for module in adapter.modules.values():
        facts = {
            "base": "sd1-tiny" if unet else "flux-small",
            "container": file.container,
            "kind": kind_of(module),
            "type": type_of(module),
            "rank": "" if module.rank is None else str(module.rank),
            "targets": targets_of(module),
            "scheme": names,
            "multiplier": "1",
        }
        key = tuple(facts.items())
        counts[key] = counts.get(key, 0) + 1
    return counts


def kind_of(module: Module) -> str:
    """Return the kind of a module by the names of ``harness.adapters.kinds``."""
    if module.dora:
        return "dora"
    if module.kind == "loha":
        return "loha-tucker" if "hada_t1" in module.parts else "loha"
    if module.kind == "lokr":
        if "lokr_t2" in module.parts:
            return "lokr-tucker"
        factored = "lokr_w1_a" in module.parts, "lokr_w2_a" in module.parts
        return {(True, True): "lokr-both", (True, False): "lokr-w1", (False, True): "lokr-w2"}.get(
            factored, "lokr"
        )
    return {"full": "diff", "bias": "diff-b"}.get(module.kind, module.kind)


def type_of(module: Module) -> str:
    """Return the type of the factors of a module: the quantised one if there are several."""
    kinds = [tensor.kind for tensor in module.parts.values() if tensor.size > 1]
    floats = ("F64", "F32", "F16", "BF16")
    return next((kind for kind in kinds if kind not in floats), kinds[0] if kinds else "F32")


def targets_of(module: Module) -> str:
    """Return what a module changes, by the names of the groups of targets in cases."""
    if components.of_adapter(module.key).component != components.DIFFUSION:
        return "text"
    if not module.convolution:
        return "linear"
    kernel = max((max(t.shape[2:], default=1) for t in module.parts.values()), default=1)
    return "conv3x3" if kernel > 1 else "conv1x1"


def described(found: Sequence[Shortcoming], *, verbose: bool = False) -> list[str]:
    """Return a line for each thing that unpatched revisions do wrong, and what to do; nothing if ``found`` is empty.

    With ``verbose`` the lines have the reasons.
    """
    grouped: dict[tuple[Verdict, tuple[str, ...], str], list[str]] = {}
    for each in found:
        key = each.verdict, each.modes, each.reason if verbose else ""
        revisions = grouped.setdefault(key, [])
        if each.revision not in revisions:
            revisions.append(each.revision)
    lines = []
    for (verdict, modes, reason), revisions in grouped.items():
        does = _WORDS[verdict][len(revisions) > 1]
        where = "in every mode" if len(modes) == len(MODES) else f"in mode {_joined(modes)}"
        because = f": {reason}" if reason else ""
        lines.append(f"without patches, {_joined(revisions)} {does} {where}{because}")
    return [*lines, f"what to do: {_remedy(found)}"] if lines else []


def _remedy(found: Sequence[Shortcoming]) -> str:
    """Return the modes that work, the patches, or the merged model."""
    ways = []
    usable: dict[str, list[str]] = {}
    for revision in dict.fromkeys(each.revision for each in found):
        failing = {mode for each in found if each.revision == revision for mode in each.modes}
        working = [mode for mode in MODES if mode not in failing]
        if working:
            usable.setdefault(working[0], []).append(revision)
    for mode, revisions in usable.items():
        ways.append(f"use --lora-apply-mode {mode} with {_joined(revisions)}")
    patches = list(dict.fromkeys(each.patch for each in found))
    if all(patches):
        noun = "patch" if len(patches) == 1 else "patches"
        ways.append(f"build with the {noun} {_joined(patches)} (sdcpp build)")
    else:
        ways.append("merge it into the model (sdcpp lora merge)")
    return ", or ".join(ways)


def _joined(words: Sequence[str]) -> str:
    """Return words with commas and "and"."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
