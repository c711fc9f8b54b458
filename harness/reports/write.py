"""Write all reports of a run as files, from its records alone."""

from __future__ import annotations

from pathlib import Path

from harness.records.record import Records
from harness.reports import html, junit, markdown, pull_request, upstream_issue
from harness.reports.table import arrange
from sdcpp import atomic_write


def write(records: Records, folder: Path) -> list[Path]:
    """Write report.md, report.html, junit.xml and, if a case fails, bugs.md into a folder and return their paths.

    Each file is replaced atomically. Raises OutputRefused if the folder cannot be written.
    """
    table = arrange(records)
    contents = {
        "report.md": (pull_request if records.run.proposal else markdown).render(table),
        "report.html": html.render(table),
        "junit.xml": junit.render(table),
    }
    (folder / "bugs.md").unlink(missing_ok=True)
    if text := upstream_issue.render(table):
        contents["bugs.md"] = text
    for name, text in contents.items():
        atomic_write.write(folder / name, text)
    return [folder / name for name in contents]
