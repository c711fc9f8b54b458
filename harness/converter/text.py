"""The text that the commands of ``sdcpp lora`` print."""

from __future__ import annotations

from collections import Counter

from harness.converter.compare import AdapterComparison, snr
from harness.converter.convert import Conversion
from harness.converter.inspect import AdapterSummary
from harness.formats.write import DERIVED
from harness.text import listed


def conversion(done: Conversion, *, verbose: bool = False) -> str:
    """Return a line for each change of type with its reason, and a line with the sizes.

    With ``verbose`` there is also a line for each tensor.
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
    for (before, after, why), count in counted.most_common():
        size = size_text(sizes[before, after, why])
        lines.append(f"{count:6} {before:>8} -> {after:8} {size:>10}  {why}")
    saved = f", {done.after / done.before:.0%}" if done.before else ""
    lines.append(
        f"{done.target}: {size_text(done.after)} of {size_text(done.before)}{saved}, "
        f"{done.bits:.2f} bits per weight"
    )
    return "\n".join(lines)


def size_text(count: int) -> str:
    """Return a number of bytes in kB or MB."""
    return f"{count / 1e6:.2f} MB" if count >= 100_000 else f"{count / 1e3:.2f} kB"


def summary(adapter: AdapterSummary) -> str:
    """Return the properties and the problems of an adapter file."""
    lines = [
        f"{adapter.path}: {adapter.container}, names of {adapter.scheme}, {adapter.tensors} tensors, "
        f"{size_text(adapter.bytes)}, {adapter.bits:.2f} bits per weight"
    ]
    for group in adapter.groups:
        rank = f"rank {group.rank}" if group.rank is not None else "no rank"
        alpha = f"alpha {group.alpha:g}" if group.alpha is not None else "no alpha"
        extra = (", convolution" if group.convolution else "") + (", DoRA" if group.dora else "")
        lines.append(
            f"{group.count:6} {group.kind} of the {group.where}: {rank}, {alpha}, {group.types}{extra}"
        )
    for key, value in adapter.metadata.items():
        if key == DERIVED:
            continue
        text = str(value).replace("\n", " ")
        lines.append(f"  {key} = {text if len(text) <= 80 else text[:77] + '...'}")
    lines += [f"  ! {complaint}" for complaint in adapter.complaints]
    if not adapter.complaints:
        lines.append("no problems found" + (f"; the adapter fits {adapter.base}" if adapter.base else ""))
    return "\n".join(lines)


def comparison(result: AdapterComparison) -> str:
    """Return the error of all modules together, the ten modules with the largest errors, and the missing tensors."""
    total = result.relative
    lines = [
        f"{result.b.name} against {result.a.name}: relative error of ΔW {total:.4%}, SNR {snr(total):.1f} dB, "
        f"{len(result.differences)} modules"
    ]
    for difference in result.worst():
        relative = difference.relative
        lines.append(f"{relative:10.4%} {snr(relative):7.1f} dB  {difference.types:12} {difference.key}")
    for label, names in (("A", result.only_a), ("B", result.only_b)):
        if names:
            lines.append(f"only in {label}: {listed(names, 3)}")
    return "\n".join(lines)
