"""Tests of the order and the forms of patches, also of the project's own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sdcpp.errors import SeriesInvalid
from sdcpp.patching import series


def test_the_projects_own_patches_can_be_read() -> None:
    assert list(dict.fromkeys(entry.name for entry in series.load())) == list(series.names())
    first, second = series.forms("lora-find-gguf")
    assert (first.revisions, second.revisions) == (("generation A",), ("generation B",))
    assert first.files == second.files == ("stable-diffusion.cpp",)


def test_both_forms_of_the_first_patch_make_the_same_change() -> None:
    first, second = (
        [line for line in form.diff.split(b"\n") if line[:1] in (b"+", b"-") and line[1:3] != line[:1] * 2]
        for form in series.forms("lora-find-gguf")
    )
    assert first == second
    assert len(first) == 5


def test_a_form_is_for_a_revision_that_no_other_form_of_its_patch_is_for() -> None:
    for name in series.names():
        revisions = [revision for form in series.forms(name) for revision in form.revisions]
        assert len(revisions) == len(set(revisions)), name


def test_files_and_the_series_must_match(series_folder: Path) -> None:
    shutil.copytree(series_folder / "small-thing", series_folder / "other-thing")
    (series_folder / "small-thing" / "README").write_text("not a patch\n")
    (series_folder / "notes.txt").write_text("not a patch\n")
    with (series_folder / "series").open("a") as file:
        file.write("absent-thing\nsmall-thing\n")
    assert set(series.lint(series_folder)) == {
        "small-thing: listed more than once in series",
        "absent-thing: in series, but there is no such folder",
        "other-thing: not in series",
        "notes.txt: not in series",
        "notes.txt: patch changes nothing",
        "small-thing/README: patch changes nothing",
    }
    with pytest.raises(SeriesInvalid, match="absent-thing"):
        series.load(series_folder)


def test_a_folder_without_a_series(series_folder: Path) -> None:
    (series_folder / "series").unlink()
    assert len(series.lint(series_folder)) == 1
    with pytest.raises(SeriesInvalid, match="series cannot be read"):
        series.load(series_folder)


def test_the_order_is_that_of_the_series(series_folder: Path) -> None:
    shutil.copytree(series_folder / "small-thing", series_folder / "another-thing")
    (series_folder / "series").write_text("small-thing\nanother-thing\n")
    assert [entry.name for entry in series.load(series_folder)] == ["small-thing", "another-thing"]
