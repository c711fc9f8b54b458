"""Tests of the rules for patch files, also on the project's own patches."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from sdcpp import project
from sdcpp.patching import series
from tests.unit.patching.good_patch import GOOD, replacing


def test_the_projects_own_patches_keep_the_rules() -> None:
    assert series.lint() == []


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


FILE = "small-thing/generation-a.patch"
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
        (replacing("A, 2025-12", "A, 2025-11"), "neither a revision nor a generation: 2025-11"),
        (replacing("generation A", "generation D"), "neither a revision nor a generation: generation D"),
        (lambda text: re.sub("Fixes: .*\n", "", text), "has neither a line Fixes:"),
        (replacing("gguf-Q8_0@auto ABORT", "gguf-Q8_0 ABORT"), "names no case"),
        (replacing("See https", "See revision 2025-12 and https"), "has a word of this project"),
        (replacing("See https", "Run sdcpp verify. See https"), "to the notes after ---: sdcpp"),
        (replacing("Measured with", "See /home/me/x, measured with"), "has a path of one machine: /home/me/x"),
        (replacing("Revisions: generation A, 2025-12", "Revisions: 2025-12"), "name the file 2025-12.patch"),
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
    (series_folder / FILE).write_bytes(change(GOOD).encode())
    found = series.lint(series_folder)
    assert any(entry.startswith(f"{FILE}: ") and complaint in entry for entry in found), found


@pytest.mark.parametrize(
    "status", ["Pending", "Submitted [https://example.org/pull/1]", "Backport [0123abc, 2026-01-01]"]
)
def test_every_known_status_is_taken(series_folder: Path, status: str) -> None:
    (series_folder / FILE).write_text(replacing(STATUS, status)(GOOD))
    assert series.lint(series_folder) == []


def test_no_line_end_at_the_end_of_a_file(series_folder: Path) -> None:
    text = replacing(" third\n", " third\n\\ No newline at end of file\n")(GOOD)
    (series_folder / FILE).write_text(text)
    assert series.lint(series_folder) == []


@pytest.mark.parametrize("name", ["0001-small-thing", "patch", "Small-Thing", "small_thing"])
def test_a_patch_is_named_for_its_purpose(series_folder: Path, name: str) -> None:
    (series_folder / "small-thing").rename(series_folder / name)
    (series_folder / "series").write_text(f"{name}\n")
    assert [entry for entry in series.lint(series_folder) if "name the folder for its purpose" in entry]
