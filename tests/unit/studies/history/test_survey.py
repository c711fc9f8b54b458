from __future__ import annotations

from pathlib import Path

import pytest

from harness.studies.history import run, survey
from sdcpp import cache
from sdcpp.source import revision
from tests.unit import fakelib
from tests.unit.studies.history.history_rows import GROUPS


def test_the_survey_checks_every_header_and_tries_every_patch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees = {name: fakelib.tree(tmp_path / name, name) for name in fakelib.FAKES}
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    for name, folder in trees.items():
        entry = survey.examine(revision.from_folder(folder))
        assert entry.binding["generation"] == name[0]
        assert entry.binding["context_arguments"] == (8 if name == "A-positional" else 1)
        assert set(entry.patches) == {patch.name for patch in run.patches()}
    text = (trees["C"] / "stable-diffusion.h").read_text(encoding="utf-8")
    (trees["C"] / "stable-diffusion.h").write_text(f"{text}\nint f(int, ...);\n", encoding="utf-8")
    (tmp_path / "cache2").mkdir()
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache2"))
    entry = survey.examine(revision.from_folder(trees["C"]))
    assert not entry.binding
    assert "variable arguments" in entry.unbound


def test_the_survey_has_every_sdist_and_a_binding_for_each() -> None:
    known = survey.load()
    assert set(known) == {one.name for group in GROUPS for one in group}
    for name, entry in known.items():
        assert not entry.unbound, name
        assert entry.binding["generation"] == revision.find(name).lora_api
        assert entry.patches, name
