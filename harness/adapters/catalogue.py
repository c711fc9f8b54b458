"""The adapters that are tested: selected combinations of kind, key scheme, rank, alpha and targets.

Each adapter has a unique name, ``KIND[-GROUP][-rRANK][-SCHEME][-...]``. ``left_out`` lists the combinations that are
not tested on a base model, with the reasons.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.adapters.adapter import Adapter, target_parts
from harness.adapters.key_schemes import SCHEMES, Scheme
from harness.adapters.kinds import KINDS, Kind
from harness.models.base_model import Base

RANKS = (1, 4, 16, 32, 128, 256)
#: The rank of every adapter that does not vary the rank; a LoKr has a smaller one.
RANK = 16
#: It differs from the rank, so that the tests detect a loader that ignores alpha.
_ALPHA = RANK / 2
#: The key scheme that is tested with every kind. The other schemes are tested with some kinds.
SCHEME = "kohya"
GROUPS = ("linear", "conv1x1", "conv3x3", "strided", "text")
#: The kinds that the library may compute as several successive convolutions. With these kinds the stride matters.
_STRIDED = ("lora", "tucker", "lokr-w2")
#: The kinds, besides lora, that are tested in every scheme that can name their factors: one with a magnitude, one with
#: an element-wise product, one with a Kronecker product, and one with a single factor.
_SAMPLES = ("dora", "loha", "lokr", "diff")
#: The schemes whose suffixes are those of another scheme that is tested with these kinds.
_LORA_ONLY = (
    *("onetrainer", "bare", "comfy", "ldm", "peft-model", "diffusers-flux-attention"),
    "diffusers-flux-q-mlp",
)
#: The kinds that are tested where parts of a fused layer are missing, besides lora: each has other factors, from which
#: the library must make those of the missing parts.
_IN_GAPS = ("loha", "lokr", "lokr-w1", "lokr-w2", "lokr-both")
_GAPS = "lycoris-qv"
#: The group of square layers, with the kinds that are tested on it, their key scheme and rank. Their factors are
#: square, too. A library that takes one for another, or the wrong axis, then makes a wrong picture and does not stop.
SQUARE = "square"
_ON_SQUARE = (
    *(("lora", SCHEME, 256), ("loha", SCHEME, 256), ("dora", "peft", RANK), ("dora-in", SCHEME, RANK)),
    *((kind, SCHEME, 16) for kind in ("lokr-w1", "lokr-w2", "lokr-both")),
)
#: One layer alone changes the picture less than all layers do.
_SQUARE_STRENGTH = 8.0
_TYPES = ("F32", "F16", "BF16")


def adapters(base: Base) -> dict[str, Adapter]:
    """Return the adapters that are tested on a base model, by name."""
    return {a.name: a for a in _all(base.name) if next(target_parts(a, base), None) is not None}


def left_out(base: Base) -> list[tuple[str, str]]:
    """Return what is not tested on a base model: pairs of names (or patterns of names) and the reason."""
    included = adapters(base)
    missing: dict[str, list[str]] = {}
    for adapter in _all(base.name):
        if adapter.name not in included:
            missing.setdefault(_reason(adapter, base), []).append(adapter.name)
    for scheme in SCHEMES.values():
        patterns = [f"{kind.name}*-{scheme.name}" for kind in KINDS.values() if not scheme.can_name(kind)]
        if patterns:
            missing[f"key scheme {scheme.name} has no names for the factors"] = patterns
    return [
        *((", ".join(names), reason) for reason, names in missing.items()),
        (
            "*-rN, except lora-rN and *-r1",
            "the library handles the rank in the same way for every kind; rank 1 is tested for each kind, because"
            " an axis of length 1 may be dropped",
        ),
        (
            "*-alpha-*, except lora-alpha-*, loha-alpha-none and lokr-both-alpha-none",
            "the library reads alpha in the same way for every kind",
        ),
        (
            "*-strided*, except lora, tucker and lokr-w2",
            "the library adds adapters of these kinds to the kernel, so the stride does not matter",
        ),
        ("diff*-r*", "a full difference has neither rank nor alpha"),
        (
            "*-gguf-Q8_0 of key schemes other than kohya",
            "the library handles the name of a tensor in the same way for every type",
        ),
        (
            "KIND-SCHEME of the other kinds",
            "a key scheme names each factor separately, so the kind does not matter",
        ),
    ]


def _reason(adapter: Adapter, base: Base) -> str:
    """Return why an adapter has no targets in a base model."""
    groups = [group for group in adapter.targets if base.group(group)]
    if not groups:
        return f"{base.name} has no targets in {', '.join(adapter.targets)}"
    if KINDS[adapter.kind].kernel and not {"conv3x3", "strided"} & set(groups):
        return f"{adapter.kind} needs a kernel larger than 1x1"
    return f"key scheme {adapter.scheme} has no names for {', '.join(groups)} of {base.name}"


def _all(base: str) -> Iterator[Adapter]:
    """Yield every adapter for the base model of this name, including adapters that it has no targets for."""
    lora = Adapter(name="lora", base=base, rank=RANK, alpha=_ALPHA)
    yield from _ranks(lora)
    yield from _alphas(lora)
    for kind in KINDS.values():
        for group in GROUPS:
            if group == "strided" and kind.name not in _STRIDED:
                continue
            adapter = _variant(lora, kind, group)
            if adapter.name == "lora":
                continue  # the same as lora-r16
            yield adapter
            # A LoKr of two full matrices has no rank.
            if kind.ranked and kind.name != "lokr":
                yield replace(adapter, name=f"{adapter.name}-r1", rank=1, alpha=0.5)
    for group in ("conv1x1", "conv3x3", "strided"):
        # With this rank the row length of both factors is a multiple of the block size of Q8_0.
        yield replace(lora, name=f"lora-{group}-flat", targets=(group,), rank=32, form="flat")
    for scheme in SCHEMES.values():
        if scheme.name == _GAPS:
            yield from (_variant(lora, KINDS[k], "linear", scheme) for k in ("lora", *_IN_GAPS))
        elif scheme.name != SCHEME and not scheme.name.endswith("-alone"):
            yield from (_variant(lora, KINDS["lora"], g, scheme) for g in GROUPS if g != "strided")
            samples = () if scheme.name in _LORA_ONLY else _SAMPLES
            yield from (
                _variant(lora, KINDS[k], "linear", scheme) for k in samples if scheme.can_name(KINDS[k])
            )
    for kind_name, scheme_name, rank in _ON_SQUARE:
        variant = _variant(lora, KINDS[kind_name], SQUARE, SCHEMES[scheme_name])
        name = f"{kind_name}-square" + ("" if scheme_name == SCHEME else f"-{scheme_name}")
        yield replace(variant, name=name, rank=rank, alpha=rank / 2, strength=_SQUARE_STRENGTH)
    yield replace(lora, name="lora-kernels", form="kernels")
    yield replace(lora, name="lora-everything", targets=GROUPS)
    pairs = replace(lora, name="lora-factor-bias", scheme="peft", alpha=None)
    biases = replace(pairs, name="biases", kind="diff-b", seed=8)
    yield replace(pairs, also=(biases,))
    # A bias is scaled by alpha / rank, too. That is 1 here, since the recipe of a difference has no scale.
    yield replace(pairs, name="lora-factor-bias-alpha", alpha="rank", also=(biases,))


def _variant(lora: Adapter, kind: Kind, group: str, scheme: Scheme | None = None) -> Adapter:
    """Return an adapter like ``lora`` of another kind, for one group of targets.

    Without ``scheme`` its key scheme is ``SCHEME``.
    """
    name_parts = [kind.name, "" if group == "linear" else group, scheme.name if scheme else ""]
    # The factors of a LoKr of rank 16 would not be smaller than the matrices that they replace.
    rank = 4 if kind.name.startswith("lokr") else RANK
    return replace(
        lora,
        name="-".join(part for part in name_parts if part),
        kind=kind.name,
        scheme=scheme.name if scheme else SCHEME,
        targets=(group,),
        rank=rank,
        alpha=rank / 2 if scheme is None or scheme.has_alpha else None,
    )


def _ranks(lora: Adapter) -> Iterator[Adapter]:
    """Yield adapters like ``lora`` that vary the rank."""
    for rank in RANKS:
        yield replace(lora, name=f"lora-r{rank}", rank=rank, alpha=rank / 2)
    # Rank 1 is left out: a defect with rank 1 would hide a defect with mixed ranks.
    yield replace(lora, name="lora-mixed", rank=(4, 16, 32, 128), alpha=4.0)


def _alphas(lora: Adapter) -> Iterator[Adapter]:
    """Yield adapters like ``lora`` that vary alpha."""
    yield replace(lora, name="lora-alpha-none", alpha=None)
    yield replace(lora, name="lora-r1-alpha-none", rank=1, alpha=None)
    for kind_name in ("loha", "lokr-both"):
        variant = _variant(lora, KINDS[kind_name], "linear")
        yield replace(variant, name=f"{kind_name}-alpha-none", alpha=None)
    yield replace(lora, name="lora-alpha-rank", alpha="rank")
    yield replace(lora, name="lora-alpha-above", alpha=2.0 * RANK)
    yield replace(lora, name="lora-scale", form="scale")
    for kind in _TYPES:
        yield replace(lora, name=f"lora-alpha-{kind.lower()}", alpha_type=kind)
