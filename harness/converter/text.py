"""The text that the commands of ``sdcpp lora`` print."""

from __future__ import annotations

from collections import Counter

from harness.converter.compare import AdapterComparison, snr
from harness.converter.convert import Conversion
from harness.converter.inspect import AdapterSummary
from harness.formats.write import DERIVED
from harness.text import listed, one_line, plural
from sdcpp.printable import printable

#: The most problems that are shown unless all are asked for.
LINES = 5


def conversion(done: Conversion, *, verbose: bool = False, quiet: bool = False) -> str:
    """Return a line for each change of type with its reason, and a line with the sizes.

    With ``verbose`` there is also a line for each tensor. With ``quiet`` there are no lines for changes of type.
    """
    lines = []
    if verbose:
        width = max((len(f.tensor.name) for f in done.plans), default=0)
        for planned in done.plans:
            shape = "x".join(map(str, planned.tensor.shape)) or "scalar"
            lines.append(
                f"{planned.tensor.name:{width}}  {shape:>12}  {planned.tensor.kind} -> {planned.kind}  {planned.why}"
            )
    counted: Counter[tuple[str, str, str]] = Counter()
    sizes: Counter[tuple[str, str, str]] = Counter()
    for planned in done.plans:
        row = planned.tensor.kind, planned.kind, planned.why
        counted[row] += 1
        sizes[row] += planned.nbytes
    for (before, after, why), count in [] if quiet else counted.most_common():
        size = size_text(sizes[before, after, why])
        lines.append(f"{count:6} {before:>8} -> {after:8} {size:>10}  {why}")
    saved = f", {done.after / done.before:.0%}" if done.before else ""
    lines.append(
        f"{done.target}: {size_text(done.after)} of {size_text(done.before)}{saved}, "
        f"{done.bits:.2f} bits per weight"
    )
    if done.skipped:
        modules = plural(len(done.skipped), "module")
        lines.append(
            f"left out: {modules} for parts of the model that this file lacks: {listed(done.skipped, 10)}"
        )
    return "\n".join(map(printable, lines))


def size_text(count: int) -> str:
    """Return a number of bytes in kB or MB."""
    return f"{count / 1e6:.2f} MB" if count >= 100_000 else f"{count / 1e3:.2f} kB"


def summary(adapter: AdapterSummary, *, verbose: bool = False, quiet: bool = False) -> str:
    """Return the conclusion about an adapter file, its properties and its problems.

    There are at most LINES problems and cut values of metadata, unless ``verbose``. With ``quiet`` there is only the
    conclusion.
    """
    lines = [f"{adapter.path}: {adapter.conclusion}"]
    if quiet:
        return printable(lines[0])
    lines += [
        f"  {adapter.container}, names of {adapter.scheme}, {adapter.tensors} tensors, "
        f"{size_text(adapter.bytes)}, {adapter.bits:.2f} bits per weight"
    ]
    for group in adapter.groups:
        rank = f"rank {group.rank}" if group.rank is not None else "no rank"
        alpha = f"alpha {group.alpha:g}" if group.alpha is not None else "no alpha"
        alpha += f" (from {group.alpha_source})" if group.alpha_source else ""
        extra = (", convolution" if group.convolution else "") + (", DoRA" if group.dora else "")
        lines.append(
            f"{group.count:6} {group.kind} of the {group.where}: {rank}, {alpha}, {group.types}{extra}"
        )
    for key, value in adapter.metadata.items():
        if key == DERIVED:
            continue
        lines.append(f"  {key} = {one_line(str(value), 0 if verbose else 80)}")
    lines += [f"  note: {note}" for note in adapter.notes]
    problems = [complaint for complaint in adapter.complaints if complaint != adapter.conclusion]
    shown = problems if verbose else problems[:LINES]
    lines += [f"  ! {complaint}" for complaint in shown]
    if len(problems) > len(shown):
        lines.append(f"  ! {len(problems) - len(shown)} more, which --verbose shows")
    return "\n".join(map(printable, lines))


def comparison(result: AdapterComparison, *, verbose: bool = False, quiet: bool = False) -> str:
    """Return the error of all modules together, the ten modules with the largest errors, and the missing tensors.

    With ``verbose`` there are all modules and all missing tensors, with ``quiet`` only the first line.
    """
    total = result.relative
    lines = [
        f"{result.b.name} against {result.a.name}: relative error of ΔW {total:.4%}, SNR {snr(total):.1f} dB, "
        f"{len(result.differences)} modules"
    ]
    if quiet:
        return printable(lines[0])
    count = len(result.differences)
    for difference in result.worst(count if verbose else 10):
        relative = difference.relative
        lines.append(f"{relative:10.4%} {snr(relative):7.1f} dB  {difference.types:12} {difference.key}")
    for label, names in (("A", result.only_a), ("B", result.only_b)):
        if names:
            lines.append(f"only in {label}: {listed(names, len(names) if verbose else 3)}")
    return "\n".join(map(printable, lines))
