"""Which adapters are tried: the meaningful part of the product of kinds, schemes, ranks, alphas and targets.

Each has a name of its own, ``KIND[-GROUP][-rRANK][-SCHEME][-...]``. What a base model leaves out of the product is
listed with its reason, so that nothing is missing in silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.adapters.adapter import Adapter, target_parts
from harness.adapters.key_schemes import SCHEMES, Scheme
from harness.adapters.kinds import KINDS, Kind
from harness.models.base_model import Base

RANKS = (1, 4, 16, 32, 128, 256)
#: Of which every kind and scheme is made, unless the rank is what is varied.
RANK = 16
#: Different from the rank, so that a loader that ignores alpha is seen.
_ALPHA = RANK / 2
#: The scheme in which everything is tried; of the others, what can differ.
SCHEME = "kohya"
GROUPS = ("linear", "conv1x1", "conv3x3", "strided", "text")
#: Kinds of which a file may be computed as several convolutions in a row, so that the stride matters.
_STRIDED = ("lora", "tucker", "lokr-w2")
#: Kinds that are tried in every scheme that can name them: with a magnitude, of two factors, of one.
_SAMPLES = ("dora", "lokr", "diff")
_TYPES = ("F32", "F16", "BF16")


def adapters(base: Base) -> dict[str, Adapter]:
    """Return the adapters of a base model by name."""
    return {a.name: a for a in _all(base.name) if next(target_parts(a, base), None) is not None}


def left_out(base: Base) -> list[tuple[str, str]]:
    """Return what is not tried on a base model, and why: names (or patterns of names) and the reason."""
    made = adapters(base)
    missing: dict[str, list[str]] = {}
    for adapter in _all(base.name):
        if adapter.name not in made:
            missing.setdefault(_reason(adapter, base), []).append(adapter.name)
    for scheme in SCHEMES.values():
        if unnamed := [f"{kind.name}*-{scheme.name}" for kind in KINDS.values() if not scheme.names(kind)]:
            missing[f"{scheme.name} has no names for their factors"] = unnamed
    return [
        *((", ".join(names), reason) for reason, names in missing.items()),
        ("*-rN but of lora", "the rank enters every kind alike; only 1, where axes vanish, is tried of each"),
        ("*-alpha-* but of lora", "alpha is read by the same rule for every kind that has one"),
        (
            "*-strided* but of lora and tucker and lokr-w2",
            "the others are one change of the kernel, whatever the stride",
        ),
        ("diff*-r*", "a full difference has neither rank nor alpha"),
        (
            "*-gguf-Q8_0 of other schemes than kohya",
            "a name is read before a tensor's type, whatever that is",
        ),
        ("KIND-SCHEME of the other kinds", "a scheme names factors one by one, whatever the kind"),
    ]


def _reason(adapter: Adapter, base: Base) -> str:
    groups = [group for group in adapter.targets if base.group(group)]
    if not groups:
        return f"{base.name} has no targets in {', '.join(adapter.targets)}"
    if KINDS[adapter.kind].kernel and not {"conv3x3", "strided"} & set(groups):
        return f"{adapter.kind} decomposes a kernel larger than 1x1"
    return f"{adapter.scheme} has no names for {', '.join(groups)} of {base.name}"


def _all(base: str) -> Iterator[Adapter]:
    lora = Adapter(name="lora", base=base, rank=RANK, alpha=_ALPHA)
    yield from _ranks(lora)
    yield from _alphas(lora)
    for kind in KINDS.values():
        for group in GROUPS:
            if group == "strided" and kind.name not in _STRIDED:
                continue
            one = _variant(lora, kind, group)
            if one.name != "lora":  # is lora-r16
                yield one
            # LoKr's full form has no rank.
            if kind.ranked and kind.name != "lokr" and one.name != "lora":
                yield replace(one, name=f"{one.name}-r1", rank=1, alpha=0.5)
    for group in ("conv1x1", "conv3x3", "strided"):
        # At this rank both factors have rows of whole blocks.
        yield replace(lora, name=f"lora-{group}-flat", targets=(group,), rank=32, form="flat")
    for scheme in SCHEMES.values():
        if scheme.name != SCHEME:
            yield from (_variant(lora, KINDS["lora"], g, scheme) for g in GROUPS if g != "strided")
            yield from (
                _variant(lora, KINDS[k], "linear", scheme) for k in _SAMPLES if scheme.names(KINDS[k])
            )
    yield replace(lora, name="lora-everything", targets=GROUPS)


def _variant(lora: Adapter, kind: Kind, group: str, scheme: Scheme | None = None) -> Adapter:
    words = [kind.name, "" if group == "linear" else group, scheme.name if scheme else ""]
    # A LoKr of rank 16 would not be smaller than what it decomposes.
    rank = 4 if kind.name.startswith("lokr") else RANK
    return replace(
        lora,
        name="-".join(word for word in words if word),
        kind=kind.name,
        scheme=scheme.name if scheme else SCHEME,
        targets=(group,),
        rank=rank,
        alpha=rank / 2 if scheme is None or scheme.has_alpha else None,
    )


def _ranks(lora: Adapter) -> Iterator[Adapter]:
    for rank in RANKS:
        yield replace(lora, name=f"lora-r{rank}", rank=rank, alpha=rank / 2)
    # Without rank 1, whose own defects would hide those of mixing.
    yield replace(lora, name="lora-mixed", rank=(4, 16, 32, 128), alpha=4.0)


def _alphas(lora: Adapter) -> Iterator[Adapter]:
    yield replace(lora, name="lora-alpha-none", alpha=None)
    yield replace(lora, name="lora-r1-alpha-none", rank=1, alpha=None)
    yield replace(lora, name="lora-alpha-rank", alpha="rank")
    yield replace(lora, name="lora-alpha-above", alpha=2.0 * RANK)
    yield replace(lora, name="lora-scale", form="scale")
    for kind in _TYPES:
        yield replace(lora, name=f"lora-alpha-{kind.lower()}", alpha_type=kind)
