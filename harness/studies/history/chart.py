"""The chart of the history as SVG, with a row for each commit and a square for each case.

It has colours for light and for dark pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.cases.core import CORE_CASES
from harness.records.verdict import Verdict
from harness.studies.history.run import HistoryRow
from harness.text import xml_text
from sdcpp.source.revision import Revision

_CELL, _LEFT, _TOP, _GAP = 20, 230, 120, 26
#: The letter and the colours (on a light and on a dark background) of each verdict. The letter helps readers who cannot
#: distinguish the colours. Letter and square, and square and background, have a contrast of at least 4.5.
LOOKS: Mapping[Verdict, tuple[str, str, str]] = {
    Verdict.PASS: ("", "#23814a", "#3fb56f"),
    Verdict.NO_EFFECT: ("N", "#8f6500", "#e8b32a"),
    Verdict.WRONG: ("W", "#b54d00", "#ef8433"),
    Verdict.ABORT: ("A", "#c62f3b", "#e5535e"),
    Verdict.TIMEOUT: ("T", "#8e4ec6", "#a86fdd"),
    Verdict.REFUSED: ("R", "#2f6fc4", "#5f9bea"),
    Verdict.UNJUDGED: ("?", "#6b7078", "#8a9099"),
    Verdict.UNSUPPORTED: ("U", "#6b7078", "#8a9099"),
}
_LABEL = "Verdicts of the core cases for each upstream commit, newest first; the page has the same as tables"
_MODES = (("immediately", "i"), ("at_runtime", "r"))
_SIDES = (("pristine", "upstream unchanged"), ("patched", "with the patch lora-find-gguf"))


def svg(rows: Mapping[str, HistoryRow], groups: Sequence[Sequence[Revision]]) -> str:
    """Return the chart of the rows, newest commit first. ``groups`` has the revisions of each commit."""
    columns = [(side, case, mode) for side, _ in _SIDES for case in CORE_CASES for mode, _ in _MODES]
    half = len(columns) // 2
    width = _LEFT + len(columns) * _CELL + _GAP + 60
    height = _TOP + len(groups) * _CELL + 46
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{xml_text(_LABEL)}" font-family="sans-serif" font-size="11">',
        _style(),
        f'<rect class="ground" width="{width}" height="{height}"/>',
    ]
    for number, (side, case, mode) in enumerate(columns):
        x = _x(number, half)
        if not number % half:
            title = dict(_SIDES)[side]
            parts.append(f'<text x="{x}" y="16" font-size="13" font-weight="bold">{title}</text>')
        if mode == _MODES[0][0]:
            position = f'transform="translate({x + _CELL},{_TOP - 20}) rotate(-45)"'
            parts.append(f"<text {position}>{xml_text(case)}</text>")
        letter = dict(_MODES)[mode]
        parts.append(f'<text class="faint" x="{x + 10}" y="{_TOP - 6}" text-anchor="middle">{letter}</text>')
    for line, group in enumerate(reversed(groups)):
        parts += _line(group, rows.get(group[-1].name), _TOP + line * _CELL, columns)
    parts += _legend(_TOP + len(groups) * _CELL + 26)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _x(number: int, half: int) -> int:
    return _LEFT + number * _CELL + (_GAP if number >= half else 0)


def _style() -> str:
    def rules(column: int) -> str:
        return " ".join(f".{verdict.lower()} {{ fill: {looks[column]} }}" for verdict, looks in LOOKS.items())

    return (
        "<style>\n"
        "text { fill: #1f2328 } .ground { fill: #ffffff } .faint { fill: #656d76 } .on { fill: #ffffff }\n"
        f".empty {{ fill: none; stroke: #8c959f }} {rules(1)}\n"
        "@media (prefers-color-scheme: dark) {\n"
        "text { fill: #e6edf3 } .ground { fill: #0d1117 } .faint { fill: #8d96a0 } .on { fill: #0d1117 }\n"
        f".empty {{ stroke: #6e7681 }} {rules(2)}\n}}\n</style>"
    )


def _line(
    group: Sequence[Revision], row: HistoryRow | None, y: int, columns: Sequence[tuple[str, str, str]]
) -> Iterator[str]:
    last = group[-1]
    yield (
        f'<text x="{_LEFT - 10}" y="{y + 14}" text-anchor="end">{last.date} · {last.short_commit} · '
        f"{xml_text(last.name)}</text>"
    )
    if row is None or row.failed:
        text = "not run" if row is None else "not built: see the page"
        yield f'<text class="faint" x="{_LEFT}" y="{y + 14}">{text}</text>'
        return
    for number, (side, case, mode) in enumerate(columns):
        judged = row.judged(side, case, mode)
        x = _x(number, len(columns) // 2) + 1
        box = f'x="{x}" y="{y + 1}" width="{_CELL - 2}" height="{_CELL - 2}" rx="2"'
        if judged is None:
            yield f'<rect class="empty" {box}/>'
            continue
        letter = LOOKS[judged.verdict][0]
        title = xml_text(f"{last.name} {side}, {case}, {mode}: {judged.verdict} {judged.evidence}".strip())
        yield f'<g><title>{title}</title><rect class="{judged.verdict.lower()}" {box}/>'
        if letter:
            yield f'<text class="on" x="{x + 9}" y="{y + 14}" text-anchor="middle">{letter}</text>'
        yield "</g>"


def _legend(y: int) -> Iterator[str]:
    texts = [f"{letter or '■'} {verdict}" for verdict, (letter, _, _) in LOOKS.items()]
    texts += ["□ not run: the revision has no such mode", "i immediately", "r at_runtime"]
    yield f'<text class="faint" x="10" y="{y}">{xml_text(" · ".join(texts))}</text>'
