"""A plot of a comparison as SVG, written by hand: one dot for each module, its relative error on a log scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from harness.converter.compare import AdapterComparison, ModuleDifference, snr
from sdcpp.atomic_write import atomic_write

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 900, 360, 70, 40, 40


def svg(comparison: AdapterComparison) -> str:
    """Return the plot: modules in the file's order from left to right, the error of all as a line."""
    found = comparison.differences
    errors = [d.relative for d in found if 0 < d.relative < math.inf] or [1.0]
    low = math.floor(math.log10(min(errors)))
    high = max(low + 1, math.ceil(math.log10(max(errors))))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="24" font-size="14">relative error of ΔW, '
        f"{escape(comparison.b.name)} against {escape(comparison.a.name)}</text>",
    ]
    for power in range(low, high + 1):
        y = _y(10.0**power, low, high)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{100 * 10.0**power:g} %</text>'
        )
    parts += _dots(found, low, high)
    total = comparison.relative
    if 0 < total < math.inf:
        y = _y(total, low, high)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}" stroke="#c33" '
            f'stroke-dasharray="6 4"/><text x="{_WIDTH - 20}" y="{y - 5:.1f}" text-anchor="end" fill="#c33">'
            f"all: {total:.3%}, {snr(total):.1f} dB</text>"
        )
    parts.append(
        f'<text x="{(_WIDTH + _LEFT) / 2:.0f}" y="{_HEIGHT - 10}" text-anchor="middle">'
        f"{len(found)} modules, in the order of the file</text></svg>"
    )
    return "\n".join(parts) + "\n"


def _dots(found: Sequence[ModuleDifference], low: int, high: int) -> list[str]:
    span = (_WIDTH - 20 - _LEFT) / max(1, len(found))
    return [
        f'<circle cx="{_LEFT + (i + 0.5) * span:.1f}" cy="{_y(d.relative, low, high):.1f}" r="3" '
        f'fill="#36c"><title>{escape(d.key)}: {d.relative:.3%} ({escape(d.types)})</title></circle>'
        for i, d in enumerate(found)
    ]


def _y(value: float, low: int, high: int) -> float:
    power = math.log10(value) if 0 < value < math.inf else (high if value else low)
    share = (min(max(power, low), high) - low) / (high - low)
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)


def write(comparison: AdapterComparison, path: Path) -> None:
    """Write the plot to a file."""
    with atomic_write(path, [comparison.a, comparison.b]) as partial:
        partial.write_text(svg(comparison), encoding="utf-8")
