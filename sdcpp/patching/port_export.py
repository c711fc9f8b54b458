"""Write the commits of a port as patch files: a folder like ``patches/``, with one form of each patch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from sdcpp import atomic_write
from sdcpp.errors import OutputRefused
from sdcpp.git import Repository
from sdcpp.patching.patch_file import Patch
from sdcpp.patching.port_state import PortState
from sdcpp.patching.worktree import file_content, format_patch


def require_new(folder: Path) -> None:
    """Raise OutputRefused if a folder exists and is not an empty folder."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputRefused(
            "exists already and is not an empty folder", folder, "give a folder that is new or empty"
        )


def export(state: PortState, forms: Mapping[tuple[str, str], Patch], folder: Path) -> list[Path]:
    """Write a patch file for each commit of a port and the file ``series``, and return the patch files.

    ``forms`` are the forms of the series by the name of the patch and of the file. The notes of a new file are those of
    the form that was carried; its line ``Revisions:`` has the label of the port.

    Raises OutputRefused.
    """
    require_new(folder)
    repository = Repository(path=state.folder)
    written = []
    for step in state.commits():
        mail = format_patch(repository, str(step.commit))
        rest = re.sub(
            r"^Revisions: .*(?:\n[ \t].*)*\n?", "", forms[step.name, step.form].notes, flags=re.MULTILINE
        )
        content = file_content(mail, f"Revisions: {state.label}\n{rest}".rstrip())
        path = folder / step.name / f"{state.label}.patch"
        atomic_write.write(path, content.encode("utf-8", "surrogateescape"))
        written.append(path)
    atomic_write.write(folder / "series", "".join(f"{path.parent.name}\n" for path in written))
    return written
