"""The libraries to try: builds of revisions or of a checkout, or a folder with a finished build."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from sdcpp.binding import build_folder
from sdcpp.binding.build_folder import Build
from sdcpp.building import build
from sdcpp.machine import backends
from sdcpp.patching import series
from sdcpp.patching.state import find_states, patches_to_apply
from sdcpp.source.revision import Revision
from sdcpp.source.workspace import workspace


def builds(
    revisions: Iterable[Revision], sides: Sequence[str], backend: str, folder: Path | None = None
) -> list[Build]:
    """Return the builds of revisions, of each side in ``sides`` ("pristine", "patched"), or the one in a folder.

    What is not built yet is built. Raises what fetching, patching and building raise, and LibraryUnusable for a folder
    without a build.
    """
    if folder is not None:
        return [build_folder.read(folder)]
    backends.require(backends.get(backend))
    made = []
    for revision in revisions:
        tree = workspace(revision)
        for side in sides:
            patches = patches_to_apply(find_states(tree, series.load())) if side == "patched" else ()
            made.append(build.build(tree, patches, backend))
    return made
