"""The project's own patches, and the lint that watches over them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sdcpp import project
from sdcpp.errors import SeriesInvalid
from sdcpp.patching import patch_file, series

GOOD = """\
From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: Somebody <somebody@example.org>
Date: Sat, 1 Jan 2000 00:00:00 +0000
Subject: [PATCH] fix: make the small thing
 better

The small thing was not as good as it might have been, which a test shows.
See https://example.org/issues/307.

Upstream-Status: Inappropriate [it is a small thing and
  of no use to anybody]
Revisions: generation A, 2025-12
---
 stable-diffusion.cpp | 2 +-
 1 file changed, 1 insertion(+), 1 deletion(-)

diff --git a/stable-diffusion.cpp b/stable-diffusion.cpp
index 98c0c84dec95cbc2cfc4f3cb0a6ad9c7cbcbde47..030c12fd2e1a3a71d5dc4619b70f8e746afce62c 100644
--- a/stable-diffusion.cpp
+++ b/stable-diffusion.cpp
@@ -2,3 +2,3 @@ public:
 first
-second
+better
 third
--\x20
2.39.5

"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "series").write_text("# The order.\n\nsmall-thing.patch  # why here\n")
    (tmp_path / "small-thing.patch").write_text(GOOD)
    return tmp_path


def test_the_projects_own_patches_keep_the_rules() -> None:
    assert series.lint() == []


def test_the_projects_own_patches_can_be_read() -> None:
    found = {entry.name: entry for entry in series.load()}
    assert [f"{name}.patch" for name in found] == list(series.entries())
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


def test_a_good_folder(folder: Path) -> None:
    assert series.lint(folder) == []
    (found,) = series.load(folder)
    assert found.name == "small-thing"
    assert found.subject == "fix: make the small thing better"
    assert found.body.startswith("The small thing")
    assert found.body.endswith("307.")
    assert found.upstream_status == "Inappropriate [it is a small thing and of no use to anybody]"
    assert found.revisions == ("generation A", "2025-12")
    assert found.files == ("stable-diffusion.cpp",)


def put(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert text.count(old) >= 1
        return text.replace(old, new, 1)

    return change


STATUS = "Inappropriate [it is a small thing and\n  of no use to anybody]"
WHY = "The small thing was not as good as it might have been, which a test shows.\n"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (put("fix: make", "Make"), "no Conventional Commit"),
        (put("fix: make", "fix: " + "make " * 12), "longer than 72"),
        (put(WHY, ""), "say why"),
        (put(f"Upstream-Status: {STATUS}\n", ""), "no Upstream-Status"),
        (put(STATUS, "Perhaps"), "not Perhaps"),
        (put(STATUS, "Submitted"), "not Submitted"),
        (put(STATUS, "Backport [main]"), "not Backport"),
        (put("Revisions: generation A, 2025-12\n", ""), "no Revisions"),
        (put("2025-12\n---", "2025-11\n---"), "neither a revision nor a generation: 2025-11"),
        (put("generation A", "generation D"), "neither a revision nor a generation: generation D"),
        (put("See https", "See /home/me/notes and https"), "names a place of one machine: /home/me/notes"),
        (put("+better", '+f("/home/me/x")'), "adds a place of one machine"),
        (put("+better", "+f(C:\\x)"), "adds a place of one machine"),
        (put("+better", "+better "), "ends in white space"),
        (put("+better", "+better\t"), "ends in white space"),
        (put("2.39.5\n", "2.39.5\n\nSent from my phone\n"), "something after its last hunk: Sent"),
        (put("-- \n2.39.5\n", "junk\n"), "something after its last hunk: junk"),
        (put("-- \n2.39.5\n\n", "-- \n2.39.5"), "does not end with a line end"),
        (put("From 0000", "x-From 0000"), "git am needs that"),
        (put("<somebody@example.org>", ""), "git am needs that"),
        (put("Date: ", "When: "), "git am needs that"),
        (put("[PATCH] ", ""), "git am needs that"),
        (put("+++ b/stable-diffusion.cpp", "+++ b//etc/passwd"), "outside the source tree"),
        (put("+++ b/stable-diffusion.cpp", "+++ b/../other.cpp"), "outside the source tree"),
        (lambda text: text[: text.index("@@")], "has no hunk"),
        (lambda text: text[: text.index("---\n")], "holds no change"),
        (lambda text: text.replace("\n", "\r\n"), "Windows line ends"),
    ],
)  # fmt: skip
def test_a_rule_that_is_broken_is_named(folder: Path, change: Callable[[str], str], complaint: str) -> None:
    (folder / "small-thing.patch").write_bytes(change(GOOD).encode())
    found = series.lint(folder)
    assert any(entry.startswith("small-thing.patch: ") and complaint in entry for entry in found), found


@pytest.mark.parametrize(
    "status", ["Pending", "Submitted [https://example.org/pull/1]", "Backport [0123abc, 2026-01-01]"]
)
def test_every_known_status_is_taken(folder: Path, status: str) -> None:
    (folder / "small-thing.patch").write_text(put(STATUS, status)(GOOD))
    assert series.lint(folder) == []


def test_no_line_end_at_the_end_of_a_file(folder: Path) -> None:
    text = put(" third\n", " third\n\\ No newline at end of file\n")(GOOD)
    (folder / "small-thing.patch").write_text(text)
    assert series.lint(folder) == []


@pytest.mark.parametrize(
    "name", ["0001-small-thing.patch", "patch.patch", "Small-Thing.patch", "small_thing.patch"]
)
def test_names_say_what_for(folder: Path, name: str) -> None:
    (folder / "small-thing.patch").rename(folder / name)
    (folder / "series").write_text(f"{name}\n")
    assert [entry for entry in series.lint(folder) if "name the file for its purpose" in entry]


def test_orphans_absentees_and_doubles(folder: Path) -> None:
    shutil.copy(folder / "small-thing.patch", folder / "other-thing.patch")
    (folder / "notes.txt").write_text("not a patch\n")
    with (folder / "series").open("a") as file:
        file.write("absent-thing.patch\nsmall-thing.patch\n")
    assert set(series.lint(folder)) == {
        "small-thing.patch: listed more than once in series",
        "absent-thing.patch: in series, but there is no such file",
        "other-thing.patch: not in series",
        "notes.txt: not in series",
        "notes.txt: patch holds no change",
    }
    with pytest.raises(SeriesInvalid, match=r"absent-thing\.patch"):
        series.load(folder)


def test_a_folder_without_a_series(folder: Path) -> None:
    (folder / "series").unlink()
    assert len(series.lint(folder)) == 1
    with pytest.raises(SeriesInvalid, match="series cannot be read"):
        series.load(folder)


def test_the_order_is_that_of_the_series(folder: Path) -> None:
    shutil.copy(folder / "small-thing.patch", folder / "another-thing.patch")
    (folder / "series").write_text("small-thing.patch\nanother-thing.patch\n")
    assert [entry.name for entry in series.load(folder)] == ["small-thing", "another-thing"]


def test_an_encoded_mail_is_decoded(folder: Path) -> None:
    text = put("Subject: ", "MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\n"
               "Content-Transfer-Encoding: quoted-printable\nSubject: ")(GOOD)  # fmt: skip
    text = text.replace("+better", "+gr=C3=BC=C3=9Fe =3D 1").replace(
        "fix: make", "=?UTF-8?q?fix=3A_m=C3=A4ke?="
    )
    (folder / "small-thing.patch").write_text(text)
    found = patch_file.read(folder / "small-thing.patch")
    assert found.subject == "fix: mäke the small thing better"
    assert "+grüße = 1\n" in found.diff.decode()
