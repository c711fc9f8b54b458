"""Reports: what a run has found, for a pull request, a browser, a CI system and a terminal.

Everything here starts from ``harness.record.Records`` and nothing runs or judges anything.
"""

from __future__ import annotations

from pathlib import Path

from harness.record import Records
from harness.report import bugs, html, junit, markdown, proposal
from harness.report.view import arrange
from sdcpp import output


def write(records: Records, folder: Path) -> list[Path]:
    """Write report.md, report.html, junit.xml and, where a case fails, bugs.md into a folder; return their paths.

    Each file is replaced as a whole, so that a reader never sees half of one. Raises OutputRefused.
    """
    shown = arrange(records)
    contents = {
        "report.md": (proposal if records.run.proposal else markdown).render(shown),
        "report.html": html.render(shown),
        "junit.xml": junit.render(shown),
    }
    (folder / "bugs.md").unlink(missing_ok=True)
    if text := bugs.render(shown):
        contents["bugs.md"] = text
    for name, text in contents.items():
        output.write(folder / name, text)
    return [folder / name for name in contents]
