"""Tests of the rules for patch files, also on the project's own patches."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sdcpp import project
from sdcpp.errors import SeriesInvalid
from sdcpp.patching import series
from tests.unit.patching.good_patch import GOOD, replacing


def test_the_projects_own_patches_keep_the_rules() -> None:
    assert series.lint() == []


def test_the_projects_own_patches_can_be_read() -> None:
    found = {entry.name: entry for entry in series.load()}
    assert [f"{name}.patch" for name in found] == list(series.file_names())
    assert found["lora-find-gguf"].revisions == ("generation B",)
    assert found["lora-find-gguf-single-mode"].revisions == ("generation A",)
    assert found["lora-find-gguf"].files == ("stable-diffusion.cpp",)


def test_both_variants_of_the_first_patch_make_the_same_change() -> None:
    found = {entry.name: entry for entry in series.load()}

    def changed(name: str) -> list[bytes]:
        return [
            line
            for line in found[name].diff.split(b"\n")
            if line[:1] in (b"+", b"-") and line[1:3] != line[:1] * 2
        ]

    change = changed("lora-find-gguf")
    assert change == changed("lora-find-gguf-single-mode")
    assert len(change) == 5


def test_git_does_not_convert_patches() -> None:
    assert "*.patch -text" in (project.PATCHES / ".gitattributes").read_text()


def test_a_folder_that_keeps_all_rules_has_no_complaints(series_folder: Path) -> None:
    assert series.lint(series_folder) == []
    (found,) = series.load(series_folder)
    assert found.name == "small-thing"
    assert found.subject == "fix: make the small thing better"
    assert found.body.startswith("The small thing")
    assert found.body.endswith("307.")
    assert found.upstream_status == "Inappropriate [it is a small thing and of no use to anybody]"
    assert found.revisions == ("generation A", "2025-12")
    assert found.files == ("stable-diffusion.cpp",)


STATUS = "Inappropriate [it is a small thing and\n  of no use to anybody]"
WHY = "The small thing was not as good as it might have been, which a test shows.\n"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (replacing("fix: make", "Make"), "not a Conventional Commit"),
        (replacing("fix: make", "fix: " + "make " * 12), "longer than 72"),
        (replacing(WHY, ""), "say why"),
        (replacing(f"Upstream-Status: {STATUS}\n", ""), "no Upstream-Status"),
        (replacing(STATUS, "Perhaps"), "not Perhaps"),
        (replacing(STATUS, "Submitted"), "not Submitted"),
        (replacing(STATUS, "Backport [main]"), "not Backport"),
        (replacing("Revisions: generation A, 2025-12\n", ""), "no Revisions"),
        (replacing("2025-12\n---", "2025-11\n---"), "neither a revision nor a generation: 2025-11"),
        (replacing("generation A", "generation D"), "neither a revision nor a generation: generation D"),
        (replacing("See https", "See /home/me/notes and https"), "has a path of one machine: /home/me/notes"),
        (replacing("+better", '+f("/home/me/x")'), "adds a path of one machine"),
        (replacing("+better", "+f(C:\\x)"), "adds a path of one machine"),
        (replacing("+better", "+better "), "ends with white space"),
        (replacing("+better", "+better\t"), "ends with white space"),
        (replacing("2.39.5\n", "2.39.5\n\nSent from my phone\n"), "other text after its last hunk: Sent"),
        (replacing("-- \n2.39.5\n", "junk\n"), "other text after its last hunk: junk"),
        (replacing("-- \n2.39.5\n\n", "-- \n2.39.5"), "does not end with a line break"),
        (replacing("From 0000", "x-From 0000"), "git am needs that"),
        (replacing("<somebody@example.org>", ""), "git am needs that"),
        (replacing("Date: ", "When: "), "git am needs that"),
        (replacing("[PATCH] ", ""), "git am needs that"),
        (replacing("+++ b/stable-diffusion.cpp", "+++ b//etc/passwd"), "outside the source tree"),
        (replacing("+++ b/stable-diffusion.cpp", "+++ b/../other.cpp"), "outside the source tree"),
        (lambda text: text[: text.index("@@")], "has no hunk"),
        (lambda text: text[: text.index("---\n")], "changes nothing"),
        (lambda text: text.replace("\n", "\r\n"), "Windows line endings"),
    ],
)  # fmt: skip
def test_a_rule_that_is_broken_is_named(
    series_folder: Path, change: Callable[[str], str], complaint: str
) -> None:
    (series_folder / "small-thing.patch").write_bytes(change(GOOD).encode())
    found = series.lint(series_folder)
    assert any(entry.startswith("small-thing.patch: ") and complaint in entry for entry in found), found


@pytest.mark.parametrize(
    "status", ["Pending", "Submitted [https://example.org/pull/1]", "Backport [0123abc, 2026-01-01]"]
)
def test_every_known_status_is_taken(series_folder: Path, status: str) -> None:
    (series_folder / "small-thing.patch").write_text(replacing(STATUS, status)(GOOD))
    assert series.lint(series_folder) == []


def test_no_line_end_at_the_end_of_a_file(series_folder: Path) -> None:
    text = replacing(" third\n", " third\n\\ No newline at end of file\n")(GOOD)
    (series_folder / "small-thing.patch").write_text(text)
    assert series.lint(series_folder) == []


@pytest.mark.parametrize(
    "name", ["0001-small-thing.patch", "patch.patch", "Small-Thing.patch", "small_thing.patch"]
)
def test_a_patch_file_is_named_for_its_purpose(series_folder: Path, name: str) -> None:
    (series_folder / "small-thing.patch").rename(series_folder / name)
    (series_folder / "series").write_text(f"{name}\n")
    assert [entry for entry in series.lint(series_folder) if "name the file for its purpose" in entry]


def test_files_and_the_series_must_match(series_folder: Path) -> None:
    shutil.copy(series_folder / "small-thing.patch", series_folder / "other-thing.patch")
    (series_folder / "notes.txt").write_text("not a patch\n")
    with (series_folder / "series").open("a") as file:
        file.write("absent-thing.patch\nsmall-thing.patch\n")
    assert set(series.lint(series_folder)) == {
        "small-thing.patch: listed more than once in series",
        "absent-thing.patch: in series, but there is no such file",
        "other-thing.patch: not in series",
        "notes.txt: not in series",
        "notes.txt: patch changes nothing",
    }
    with pytest.raises(SeriesInvalid, match=r"absent-thing\.patch"):
        series.load(series_folder)


def test_a_folder_without_a_series(series_folder: Path) -> None:
    (series_folder / "series").unlink()
    assert len(series.lint(series_folder)) == 1
    with pytest.raises(SeriesInvalid, match="series cannot be read"):
        series.load(series_folder)


def test_the_order_is_that_of_the_series(series_folder: Path) -> None:
    shutil.copy(series_folder / "small-thing.patch", series_folder / "another-thing.patch")
    (series_folder / "series").write_text("small-thing.patch\nanother-thing.patch\n")
    assert [entry.name for entry in series.load(series_folder)] == ["small-thing", "another-thing"]
