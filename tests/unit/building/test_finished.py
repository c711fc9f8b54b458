from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sdcpp.building import finished
from sdcpp.errors import LibraryUnusable
from sdcpp.source import revision


def build(
    cache_folder: Path, name: str, date: str = "2026-11-01", patched: bool = False, **more: object
) -> Path:
    state = "patched" if patched else "pristine"
    folder = cache_folder / "builds" / f"{name}-cpu-{state}-{date}"
    folder.mkdir(parents=True)
    record = {
        "revision": name,
        "patches": [{"name": "x"}] if patched else [],
        "backend": "cpu",
        "options": {},
    }
    (folder / "build.json").write_text(json.dumps({**record, "date": date, **more}), encoding="utf-8")
    return folder


def test_without_a_build_there_is_no_default(cache_folder: Path) -> None:
    assert finished.newest_build() is None
    with pytest.raises(LibraryUnusable, match="run `sdcpp build` first"):
        finished.require_build()
    assert not cache_folder.exists()


def test_a_build_of_a_checkout_or_of_an_unnamed_commit_is_no_default(cache_folder: Path) -> None:
    for name in ("local", "git-0123456789", "zzz"):
        build(cache_folder, name, date="2026-12-31")
    assert finished.newest_build() is None
    named = build(cache_folder, "2025-12")
    assert finished.newest_build() == named


def test_the_newest_commit_wins_whatever_the_revision_is_called(cache_folder: Path) -> None:
    known = revision.load()
    assert (known["0.4.6"].date or "") > (known["2025-12"].date or "")
    build(cache_folder, "2025-12", date="2026-12-31")
    newest = build(cache_folder, "0.4.6", date="2026-01-01", patched=True)
    assert finished.newest_build() == newest


def test_the_wanted_side_comes_before_the_date_of_the_build(
    cache_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patched = build(cache_folder, "2026-05", date="2026-11-02", patched=True)
    build(cache_folder, "2026-05", date="2026-11-01")
    pristine = build(cache_folder, "2026-05", date="2026-11-03")
    assert finished.newest_build() == pristine
    assert finished.newest_build(patched=True) == finished.require_build(patched=True) == patched
    said = re.findall("using the library of .*", capsys.readouterr().err)
    assert said[:2] == [
        "using the library of 2026-05 (pristine, cpu)",
        "using the library of 2026-05 (patched, cpu)",
    ]


def test_other_backends_mutants_and_broken_records_are_no_default(cache_folder: Path) -> None:
    build(cache_folder, "2026-05", backend="vulkan")
    build(cache_folder, "2026-05", date="2026-11-02", options={"SDCPP_SANITIZE": "ON"})
    (build(cache_folder, "2026-05", date="2026-11-03") / "build.json").write_text("{")
    (build(cache_folder, "2026-05", date="2026-11-04") / "build.json").write_text("{}")
    assert finished.newest_build() is None
