from __future__ import annotations

from pathlib import Path

import pytest

from sdcpp.errors import SeriesInvalid
from sdcpp.patching import patch_file
from tests.unit.patching.good_patch import GOOD, replacing


def test_an_encoded_mail_is_decoded(series_folder: Path) -> None:
    text = replacing("Subject: ", "MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\n"
               "Content-Transfer-Encoding: quoted-printable\nSubject: ")(GOOD)  # fmt: skip
    text = text.replace("+better", "+gr=C3=BC=C3=9Fe =3D 1").replace(
        "fix: make", "=?UTF-8?q?fix=3A_m=C3=A4ke?="
    )
    (series_folder / "small-thing" / "generation-a.patch").write_text(text)
    found = patch_file.read(series_folder / "small-thing" / "generation-a.patch")
    assert found.subject == "fix: mäke the small thing better"
    assert "+grüße = 1\n" in found.diff.decode()


def test_a_file_that_is_no_patch(tmp_path: Path) -> None:
    (tmp_path / "text.patch").write_text("Subject: nothing\nFrom: nobody\n\njust words\n")
    with pytest.raises(SeriesInvalid, match="changes nothing"):
        patch_file.read(tmp_path / "text.patch")
    with pytest.raises(SeriesInvalid, match="cannot be read"):
        patch_file.read(tmp_path / "absent.patch")


def test_hunks_know_where_they_are() -> None:
    first, second = "@@ -3 +3,2 @@ f()\n-old\n+--- new\n+more", "@@ -9,2 +10 @@\n ctx\n-gone"
    found = list(patch_file.hunks(f"--- a/x/y.cpp\n+++ b/x/y.cpp\n{first}\n{second}\n-- \n2.39\n"))
    assert [(hunk.file, hunk.line) for hunk in found] == [("x/y.cpp", 3), ("x/y.cpp", 9)]
    assert [hunk.text for hunk in found] == [first, second]


def test_notes_are_read_and_are_not_part_of_the_message(series_folder: Path) -> None:
    found = patch_file.read(series_folder / "small-thing" / "generation-a.patch", "small-thing")
    assert (found.name, found.path.name) == ("small-thing", "generation-a.patch")
    assert found.body.endswith("307.")
    assert found.notes.endswith("Measured with revision 2025-12.")
    assert [(fix.base, fix.case, fix.verdict) for fix in found.fixes] == [
        ("sd1-tiny", "gguf-F16@auto", "NO_EFFECT"),
        ("sd1-tiny", "gguf-Q8_0@auto", "ABORT"),
    ]
    assert found.diff.startswith(b"diff --git")


def test_the_hash_depends_on_the_diff_alone(series_folder: Path) -> None:
    def hashed(text: str) -> str:
        return patch_file.parse(text.encode(), series_folder / "x.patch").sha256

    known = hashed(GOOD)
    assert hashed(replacing("Measured with", "Judged with")(GOOD)) == known
    assert hashed(replacing("The small", "A small")(GOOD)) == known
    assert hashed(replacing("+better", "+best")(GOOD)) != known


def test_header_lines_may_be_trailers_of_the_message(tmp_path: Path) -> None:
    text = replacing("\n---\nRevisions: generation A, 2025-12\n", "\nRevisions: 2026-05\n---\n")(GOOD)
    found = patch_file.parse(text.encode(), tmp_path / "x.patch")
    assert found.revisions == ("2026-05",)
    assert found.body.endswith("307.")
    assert found.upstream_status == "Inappropriate [it is a small thing and of no use to anybody]"
