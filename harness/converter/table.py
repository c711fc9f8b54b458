"""Type against size against loss, for one file: plain and rebalanced, in weights and in pictures."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.converter import picture_loss
from harness.converter.compare import compare
from harness.converter.convert import convert
from harness.converter.plan import PLAIN, require_types
from harness.models.base_model import Base
from harness.quantising.quantiser import Quantiser

#: Types that are made in seconds; IQ types take minutes a file.
USUAL = ("F16", "Q8_0", "Q6_K", "Q5_1", "Q5_0", "Q5_K", "Q4_1", "Q4_0", "Q4_K", "MXFP4", "Q3_K", "Q2_K")


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeRow:
    """A type: the size of the file, its bits a weight, and the relative errors of ΔW and of the effect."""

    kind: str
    rebalanced: bool
    padded: bool
    bytes: int
    bits: float
    loss: float
    effect: float | None = None


def type_rows(
    source: Path,
    maker: Quantiser,
    kinds: Sequence[str] = (),
    base: Base | None = None,
    library: Path | None = None,
    *,
    pad: bool = False,
) -> list[TypeRow]:
    """Return a line for each type, plain and rebalanced, in the order of ``kinds``.

    Without ``kinds`` these are the types of USUAL that ``maker`` can make. A type of 256 to the block is followed by
    one of 32 for short rows: "Q4_K,Q4_0". With ``base`` and ``library`` the effect error in pictures is measured too.
    Raises TypeUnavailable before anything is converted if one of ``kinds`` cannot be made.
    """
    types = maker.types()
    require_types((name for kind in kinds for name in kind.split(",")), types)
    kinds = kinds or [name for name in USUAL if name in PLAIN or name in types]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        paths: list[Path] = []
        for kind in kinds:
            for rebalanced, padded in ((False, False), (True, False), (True, True)):
                if (rebalanced and kind == "F16") or (padded and not pad):
                    continue
                names = kind.split(",")
                target = Path(folder) / f"{len(paths)}.gguf"
                done = convert(source, target, names, maker, rebalance=rebalanced, pad=padded)
                loss = compare(source, target).relative
                paths.append(target)
                found.append(
                    TypeRow(
                        kind=kind,
                        rebalanced=rebalanced,
                        padded=padded,
                        bytes=done.after,
                        bits=done.bits,
                        loss=loss,
                    )
                )
        if base is None or library is None:
            return found
        seen = picture_loss.effects(library, base, source, paths)
    return [
        TypeRow(
            kind=line.kind,
            rebalanced=line.rebalanced,
            padded=line.padded,
            bytes=line.bytes,
            bits=line.bits,
            loss=line.loss,
            effect=effect.error,
        )
        for line, effect in zip(found, seen, strict=True)
    ]


def text(found: Sequence[TypeRow]) -> str:
    """Return the rows as a Markdown table. The gain is the plain loss divided by the rebalanced one, at equal size."""
    rows = [
        "| type | size | bits | loss in ΔW | rebalanced | gain | in pictures | rebalanced |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for line in found:
        if line.rebalanced:
            continue
        other = next((o for o in found if o.kind == line.kind and o.rebalanced and not o.padded), None)
        padded = next((o for o in found if o.kind == line.kind and o.padded), None)
        for twin, label in ((other, line.kind), (padded, f"{line.kind}, rank padded")):
            if twin is None and (label != line.kind):
                continue
            sizes = line.bytes if twin is None or not twin.padded else twin.bytes
            bits = line.bits if twin is None or not twin.padded else twin.bits
            loss = "" if twin is not None and twin.padded else f"{line.loss:.3%}"
            better = f"{twin.loss:.3%}" if twin else ""
            gain = f"{line.loss / twin.loss:.2f} x" if twin and twin.loss and not twin.padded else ""
            effect = f"{line.effect:.2%}" if line.effect is not None and loss else ""
            turned = f"{twin.effect:.2%}" if twin and twin.effect is not None else ""
            rows.append(
                f"| {label} | {sizes / 1000:.1f} kB | {bits:.2f} | {loss} | {better} | {gain} | {effect} | {turned} |"
            )
    return "\n".join(rows)
