"""Reports: what a run has found, for a pull request, a browser, a CI system and a terminal.

Everything here starts from ``harness.records.record.Records`` and nothing runs or judges anything.
"""

from __future__ import annotations

from pathlib import Path

from harness.records.record import Records
from harness.reports import html, junit, markdown, pull_request, upstream_issue
from harness.reports.table import arrange
from sdcpp import atomic_write


def write(records: Records, folder: Path) -> list[Path]:
    """Write report.md, report.html, junit.xml and, where a case fails, bugs.md into a folder; return their paths.

    Each file is replaced as a whole, so that a reader never sees half of one. Raises OutputRefused.
    """
    shown = arrange(records)
    contents = {
        "report.md": (pull_request if records.run.proposal else markdown).render(shown),
        "report.html": html.render(shown),
        "junit.xml": junit.render(shown),
    }
    (folder / "bugs.md").unlink(missing_ok=True)
    if text := upstream_issue.render(shown):
        contents["bugs.md"] = text
    for name, text in contents.items():
        atomic_write.write(folder / name, text)
    return [folder / name for name in contents]
