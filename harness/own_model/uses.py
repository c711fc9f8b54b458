"""Find the cases of the harness that a use of the library is like: flags, batches, and multipliers that change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from harness.cases.uses import CHANGING, CHANGING_MAPPED, CHANGING_ON, MAPPED_SEQUENCE
from harness.formats.tensor import SIZES
from harness.own_model.likeness import LikeCase

#: The base models on which the cases of uses and of changing multipliers run.
_BASES = ("flux-small", "sd1-tiny")
#: The dimensions that these cases have in common.
_FILE = {"container": "safetensors", "type": "F16", "rank": "32"}
#: The dimensions of the case of changing multipliers with the model mapped into memory.
_MAPPED = {**_FILE, "base": "flux-small", "use": "mmap", "sequence": MAPPED_SEQUENCE}


def like_uses(names: Iterable[str], base: str) -> Iterator[LikeCase]:
    """Yield the cases of ``harness.cases.uses`` with these names."""
    for name in names:
        yield LikeCase(name=name, dimensions={**_FILE, "base": base, "use": name})


def like_changes(base: str, base_kind: str, names: Iterable[str] = ()) -> LikeCase | None:
    """Return the case of a picture without an adapter, after pictures in the same context with other multipliers.

    ``names`` are those of the cases of other uses; if there is no case of both, the result is None. The base models of
    the other families have pictures with one multiplier only.
    """
    if set(names):
        mapped = set(names) == {"mmap"} and base == "flux-small"
        return LikeCase(name=CHANGING_MAPPED, dimensions=_MAPPED) if mapped else None
    if base in _BASES:
        return LikeCase(
            name=CHANGING.format(base_kind),
            dimensions={**_FILE, "base": base, "base type": base_kind, "sequence": "changing"},
        )
    return LikeCase(
        name="lora-A-then-none",
        dimensions={**_FILE, "base": base, "kind": "lora", "scheme": "kohya", "sequence": "A-then-none"},
    )


def base_kind(kinds: Mapping[str, str]) -> str:
    """Return the base type of those cases that is like the weights of a model, whose types are given by name.

    Without a model it is F16.
    """
    kind = next((kind for kind, _ in Counter(kinds.values()).most_common(1)), "F16")
    if kind in SIZES and SIZES[kind][0] > 1:
        return "Q8_0"
    return kind if kind in CHANGING_ON else "F16"
