"""Plot a comparison as SVG: a dot for the relative error of each module, on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from harness.converter.compare import AdapterComparison, ModuleDifference, snr
from harness.text import xml_text
from sdcpp.atomic_write import atomic_write

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 900, 360, 70, 40, 40


def svg(comparison: AdapterComparison) -> str:
    """Return the plot as SVG. Modules are in the order of the file, and a line shows the error of all modules."""
    differences = comparison.differences
    errors = [d.relative for d in differences if 0 < d.relative < math.inf] or [1.0]
    low = math.floor(math.log10(min(errors)))
    high = max(low + 1, math.ceil(math.log10(max(errors))))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="24" font-size="14">relative error of ΔW, '
        f"{xml_text(comparison.b.name)} against {xml_text(comparison.a.name)}</text>",
    ]
    for power in range(low, high + 1):
        y = _y(10.0**power, low, high)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{100 * 10.0**power:g} %</text>'
        )
    parts += _dots(differences, low, high)
    total = comparison.relative
    if 0 < total < math.inf:
        y = _y(total, low, high)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}" stroke="#c33" '
            f'stroke-dasharray="6 4"/><text x="{_WIDTH - 20}" y="{y - 5:.1f}" text-anchor="end" fill="#c33">'
            f"all modules: {total:.3%}, {snr(total):.1f} dB</text>"
        )
    parts.append(
        f'<text x="{(_WIDTH + _LEFT) / 2:.0f}" y="{_HEIGHT - 10}" text-anchor="middle">'
        f"{len(differences)} modules, in the order of the file</text></svg>"
    )
    return "\n".join(parts) + "\n"


def _dots(differences: Sequence[ModuleDifference], low: int, high: int) -> list[str]:
    """Return an SVG circle for each module; ``low`` and ``high`` are the powers of ten at the ends of the scale."""
    span = (_WIDTH - 20 - _LEFT) / max(1, len(differences))
    return [
        f'<circle cx="{_LEFT + (i + 0.5) * span:.1f}" cy="{_y(d.relative, low, high):.1f}" r="3" '
        f'fill="#36c"><title>{xml_text(d.key)}: {d.relative:.3%} ({xml_text(d.types)})</title></circle>'
        for i, d in enumerate(differences)
    ]


def _y(value: float, low: int, high: int) -> float:
    """Return the vertical position of an error. Errors outside the scale are drawn at its ends."""
    power = math.log10(value) if 0 < value < math.inf else (high if value else low)
    share = (min(max(power, low), high) - low) / (high - low)
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)


def write(comparison: AdapterComparison, path: Path) -> None:
    """Write the plot of a comparison to ``path``; raises OutputRefused."""
    with atomic_write(path, [comparison.a, comparison.b]) as partial:
        partial.write_text(svg(comparison), encoding="utf-8")
