"""The badges of README.md: how many GGUF LoRA cells of the newest revision pass, without and with the patches.

Every number is counted in the records in results/, and every other word is read from pyproject.toml.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from harness.records import record
from harness.records.verdict import Verdict
from harness.studies.promises import RESULTS
from sdcpp import atomic_write, project
from sdcpp.source import revision

FOLDER = project.ROOT / "docs" / "badges"
#: Background colours, on which white text has a contrast of at least 4.5.
NEUTRAL, BLUE, GREEN, AMBER = "#474d54", "#0a58ca", "#1a7f37", "#8f5b00"
#: The width of a character in pixels, and the space beside a text.
CHARACTER, MARGIN = 6.6, 7
#: The cases whose cells are counted: a GGUF LoRA of each type.
_TYPES = re.compile(r"gguf-(F32|F16|BF16|[QTIMN][A-Z0-9_]+)")


def write() -> list[Path]:
    """Write the badges and return their paths; raises CheckoutNeeded in an installed sdcpp."""
    project.checkout()
    made = badges()
    for name, text in made.items():
        atomic_write.write(FOLDER / name, text)
    return [FOLDER / name for name in made]


def badges(folder: Path = RESULTS) -> Mapping[str, str]:
    """Return the badges, as SVG by the names of their files. ``folder`` has the records."""
    facts = tomllib.loads((project.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    newest = max(revision.load().values(), key=lambda each: str(each.date)).name
    made = {}
    for name, label in (("unpatched", newest), ("patched", f"{newest} with the patches")):
        passed, total = passing(newest, patched=name == "patched", folder=folder)
        colour = GREEN if passed == total else AMBER
        made[f"{name}.svg"] = badge(f"GGUF LoRAs on {label}", f"{passed} of {total} cells pass", colour)
    made["python.svg"] = badge("Python", facts["requires-python"].replace(">=", "≥ "), BLUE)
    made["licence.svg"] = badge("licence", facts["license"], BLUE)
    return made


def passing(name: str, *, patched: bool, folder: Path = RESULTS) -> tuple[int, int]:
    """Return how many cells of GGUF LoRAs pass on a revision, and how many there are, on all backends.

    A later record of the same cell on the same backend counts, not an earlier one.
    """
    cells: dict[tuple[str, ...], Verdict] = {}
    runs = [record.read(path) for path in folder.glob(f"{name}-*.jsonl*")]
    for records in sorted(runs, key=lambda each: each.run.started):
        for cell in records.cells:
            side = records.sides[cell.side]
            if _TYPES.fullmatch(cell.case) and side.patched == patched and side.revision == name:
                key = side.backend, cell.case, cell.dimensions["base"], cell.dimensions["mode"]
                cells[key] = cell.verdict
    return Counter(cells.values())[Verdict.PASS], len(cells)


def badge(label: str, message: str, colour: str) -> str:
    """Return a badge as SVG: a label, and a message on a background colour."""
    left, right = (round(len(text) * CHARACTER) + 2 * MARGIN for text in (label, message))
    whole = f"{label}: {message}"
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" aria-label={quoteattr(whole)}>
<title>{escape(whole)}</title>
<rect width="{left + right}" height="20" rx="3" fill="{NEUTRAL}"/>
<path d="M{left} 0h{right - 3}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{right - 3}z" fill="{colour}"/>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">
<text x="{left / 2}" y="14" textLength="{left - 2 * MARGIN}">{escape(label)}</text>
<text x="{left + right / 2}" y="14" textLength="{right - 2 * MARGIN}">{escape(message)}</text>
</g>
</svg>
"""
