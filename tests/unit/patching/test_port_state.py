"""Tests of the saved state of a port."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdcpp.errors import SourceInvalid
from sdcpp.patching import port_branch, port_state
from sdcpp.patching.port_state import Result
from tests.unit.patching.upstream import Upstream


def test_the_state_is_read_as_it_was_saved(tmp_path: Path) -> None:
    upstream = Upstream(tmp_path / "upstream")
    assert port_state.load(upstream.clone) is None
    state = port_branch.start(
        upstream.clone, ["one", "two"], branch="fixes", onto="HEAD", folder=tmp_path / "tree"
    )
    state.steps[0].result, state.steps[0].commit, state.stopped = Result.RESOLVED, "0" * 40, True
    state.save()
    for clone in (upstream.clone, state.worktree):
        assert port_state.load(clone) == state
    assert [step.name for step in state.pending()] == ["two"]
    assert [step.name for step in state.commits()] == ["one"]
    state.forget()
    assert port_state.load(upstream.clone) is None


@pytest.mark.parametrize("content", ["{", "{}", '{"steps": [{"result": "other"}]}'])
def test_a_damaged_state_is_one_error(tmp_path: Path, content: str) -> None:
    upstream = Upstream(tmp_path / "upstream")
    state = port_branch.start(upstream.clone, [], branch="fixes", onto="HEAD", folder=tmp_path / "tree")
    (state.worktree.folder / "sdcpp-port.json").write_text(content)
    with pytest.raises(SourceInvalid, match="the state of the unfinished port cannot be read"):
        port_state.load(upstream.clone)
