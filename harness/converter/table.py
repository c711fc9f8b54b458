"""A table of the size and the loss of one file for each type, plain and rebalanced."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path

from harness.converter import picture_loss
from harness.converter.compare import compare
from harness.converter.convert import convert
from harness.converter.plan import PLAIN, require_types
from harness.models.base_model import Base
from harness.quantising.quantiser import Quantiser
from sdcpp.printable import printable
from sdcpp.waiting_line import Progress, part, unseen

#: The types of the table by default. They take seconds; IQ types take minutes for each file.
USUAL = ("F16", "Q8_0", "Q6_K", "Q5_1", "Q5_0", "Q5_K", "Q4_1", "Q4_0", "Q4_K", "MXFP4", "Q3_K", "Q2_K")


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeRow:
    """The result of one conversion.

    ``bytes`` is the size of the file and ``bits`` the average number of bits for each element. ``loss`` is the relative
    error of ΔW, and ``effect`` the effect error in pictures, or None if it was not measured. ``tensors`` has
    the number of tensors of each type in the file.
    """

    kind: str
    rebalanced: bool
    padded: bool
    bytes: int
    bits: float
    loss: float
    effect: float | None = None
    tensors: Mapping[str, int] = field(default_factory=dict)


def type_rows(
    source: Path,
    quantiser: Quantiser,
    kinds: Sequence[str] = (),
    base: Base | None = None,
    library: Path | None = None,
    *,
    pad: bool = False,
    progress: Progress = unseen,
) -> Iterator[list[TypeRow]]:
    """Convert ``source`` to each of ``kinds``, and yield the results of each type as soon as they are known.

    They are the plain one and the rebalanced one, and with ``pad`` one with a padded rank. F16 has only a plain one. An
    element of ``kinds`` is a type or several types separated by commas: "Q4_K,Q4_0" uses Q4_0 for rows that are not
    whole blocks of Q4_K. Without ``kinds`` the types are those of ``USUAL`` that ``quantiser`` can make. With ``base``
    and ``library``, the folder of a build, the effect error in pictures is measured as well. All pictures are made in
    one run, so the results then come together at the end.

    ``progress`` is called with a share of the conversions and 1.

    Raises TypeUnavailable before the first conversion if one of ``kinds`` cannot be made.
    """
    types = quantiser.types()
    require_types((name for kind in kinds for name in kind.split(",")), types)
    kinds = kinds or [name for name in USUAL if name in PLAIN or name in types]
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / str(number) for number in range(len(kinds))]
        converted = (
            _converted(
                source,
                quantiser,
                kind,
                folder,
                pad=pad,
                progress=part(progress, number / len(kinds), (number + 1) / len(kinds)),
            )
            for number, (kind, folder) in enumerate(zip(kinds, folders, strict=True))
        )
        if base is None or library is None:
            for folder, files in zip(folders, converted, strict=True):
                yield list(files.values())
                shutil.rmtree(folder)
            return
        measured = list(converted)
        paths = [path for files in measured for path in files]
        effects = iter(picture_loss.effects(library, base, source, paths))
        for files in measured:
            yield [replace(row, effect=next(effects).error) for row in files.values()]


def _converted(
    source: Path, quantiser: Quantiser, kind: str, folder: Path, *, pad: bool, progress: Progress
) -> dict[Path, TypeRow]:
    """Convert a file to a type in each way, and return the results by the path in ``folder``."""
    ways = [(False, False)]
    if kind != "F16":
        ways += [(True, False), (True, True)] if pad else [(True, False)]
    folder.mkdir()
    found = {}
    for number, (rebalanced, padded) in enumerate(ways):
        target = folder / f"{number}.gguf"
        plain = folder / "0.gguf" if rebalanced else None
        first, last = number / len(ways), (number + 1) / len(ways)
        done = convert(
            source,
            target,
            kind.split(","),
            quantiser,
            rebalance=rebalanced,
            pad=padded,
            plain=plain,
            progress=part(progress, first, (first + last) / 2),
        )
        found[target] = TypeRow(
            kind=kind,
            rebalanced=rebalanced,
            padded=padded,
            bytes=done.after,
            bits=done.bits,
            tensors=dict(Counter(planned.kind for planned in done.plans).most_common()),
            loss=compare(source, target, part(progress, (first + last) / 2, last)).relative,
        )
    return found


def text(
    path: Path | None, types: Iterable[Sequence[TypeRow]], *, verbose: bool = False, quiet: bool = False
) -> Iterator[str]:
    """Yield the table under the name of the file, if there is one, each line as soon as it is known.

    With ``verbose`` it is followed by the number of tensors of each type in each file, with ``quiet`` it has no head.
    """
    found: list[TypeRow] = []
    rest = iter(types)
    first = list(islice(rest, 1))  # nothing is printed of what cannot be read
    if path is not None:
        yield printable(f"{path}:")

    def remembered() -> Iterator[Sequence[TypeRow]]:
        for rows in chain(first, rest):
            found.extend(rows)
            yield rows

    for line in islice(lines(remembered()), 2 if quiet else 0, None):
        yield printable(line)
    if verbose:
        yield from map(_types_line, found)


def _types_line(row: TypeRow) -> str:
    how = ", rank padded" if row.padded else ", rebalanced" if row.rebalanced else ""
    counts = ", ".join(f"{number} {kind}" for kind, number in row.tensors.items())
    return f"{row.kind}{how}: {counts} tensors"


def lines(types: Iterable[Sequence[TypeRow]]) -> Iterator[str]:
    """Yield the lines of a Markdown table, those of a type as soon as its rows are known.

    The gain is the plain loss divided by the rebalanced loss, at equal size.
    """
    yield "| type | size | bits | loss in ΔW | rebalanced | gain | in pictures | rebalanced |"
    yield "|---|---|---|---|---|---|---|---|"
    for plain, *rebalanced in types:
        yield _line(plain.kind, plain, next((row for row in rebalanced if not row.padded), None))
        padded = next((row for row in rebalanced if row.padded), None)
        if padded is not None:
            yield _padded_line(f"{plain.kind}, rank padded", padded)


def _line(label: str, plain: TypeRow, rebalanced: TypeRow | None) -> str:
    """Return the line of a type: the plain file, and the rebalanced one of the same size if there is one."""
    size = f"{plain.bytes / 1000:.1f} kB | {plain.bits:.2f}"
    loss = f"{rebalanced.loss:.3%}" if rebalanced else ""
    gain = f"{plain.loss / rebalanced.loss:.2f} x" if rebalanced and rebalanced.loss else ""
    effects = f"{_effect(plain)} | {_effect(rebalanced)}"
    return f"| {label} | {size} | {plain.loss:.3%} | {loss} | {gain} | {effects} |"


def _padded_line(label: str, padded: TypeRow) -> str:
    """Return the line of a file with a padded rank, which has another size than the plain file."""
    size = f"{padded.bytes / 1000:.1f} kB | {padded.bits:.2f}"
    return f"| {label} | {size} |  | {padded.loss:.3%} |  |  | {_effect(padded)} |"


def _effect(row: TypeRow | None) -> str:
    return f"{row.effect:.2%}" if row is not None and row.effect is not None else ""
