"""Tests of the commits of a port as patch files."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdcpp.errors import OutputRefused
from sdcpp.patching import port_branch, port_export, series
from sdcpp.patching.port import Port
from tests.unit.patching.author import Author
from tests.unit.patching.upstream import Upstream, form, replacing

FILE = "stable-diffusion.cpp"


def test_the_commits_become_a_folder_of_forms(tmp_path: Path, author: Author) -> None:
    upstream = Upstream(tmp_path / "upstream")
    patches = [
        form(author, "fix-thirty", {FILE: replacing("line 30", "better")}),
        form(author, "fix-forty", {FILE: replacing("line 40", "best")}),
        form(author, "fix-windows", {"windows.cpp": lambda text: text.replace("line 5\r", "five\r")}),
    ]
    upstream.commit({FILE: replacing("line 40", "best")})
    upstream.commit(moves={FILE: "core.cpp"})
    upstream.clone.check_git("config", "format.signature", "the user's")
    commits = upstream.series(patches)
    state = port_branch.start(
        upstream.clone,
        commits.names(),
        branch="fixes",
        onto="HEAD",
        folder=tmp_path / "tree",
        export=(str(tmp_path / "ported"), "new"),
    )
    list(Port(state=state, series=commits, clang_format=None).carry())
    forms = {(patch.name, patch.path.name): patch for patch in patches}
    written = port_export.export(state, forms, Path(state.export))
    assert written == [tmp_path / "ported" / name / "new.patch" for name in ("fix-thirty", "fix-windows")]
    loaded = series.load(tmp_path / "ported")
    assert [(patch.name, patch.revisions, patch.files) for patch in loaded] == [
        ("fix-thirty", ("new",), ("core.cpp",)),
        ("fix-windows", ("new",), ("windows.cpp",)),
    ]
    assert (loaded[0].subject, loaded[0].body) == (patches[0].subject, patches[0].body)
    assert loaded[0].notes == "Revisions: new\nUpstream-Status: Pending\n\nMeasured with sdcpp."
    assert b"-line 5\r\n+five\r\n" in loaded[1].diff
    with pytest.raises(OutputRefused, match="exists already and is not an empty folder"):
        port_export.export(state, forms, Path(state.export))
