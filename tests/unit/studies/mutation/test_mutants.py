from __future__ import annotations

from pathlib import Path

import pytest

from harness.studies.mutation import mutants
from harness.studies.mutation.mutants import Mutant
from sdcpp.errors import SeriesInvalid
from sdcpp.source import revision

MUTANTS = mutants.load()
DIFF = """\
diff --git a/src/lora.hpp b/src/lora.hpp
--- a/src/lora.hpp
+++ b/src/lora.hpp
@@ -1 +1 @@
-a
+b
"""


def written(folder: Path, name: str, head: str, diff: str = DIFF) -> Mutant:
    (folder / f"{name}.patch").write_text(f"{head}\n\n{diff}")
    return next(m for m in mutants.load(folder) if m.name == name)


def test_the_mutants_of_the_project_follow_the_rules() -> None:
    assert not list(mutants.complaints(MUTANTS))
    assert sum(not m.control for m in MUTANTS) >= 18
    assert sum(m.control for m in MUTANTS) >= 2
    assert mutants.REVISION in revision.load()
    assert {m.patch.revisions for m in MUTANTS} == {(mutants.REVISION,)}


def test_the_mutants_of_another_revision_follow_the_rules() -> None:
    for name in mutants.REVISIONS[1:]:
        others = mutants.of_revision(name)
        assert others
        assert not list(mutants.complaints(others))
        assert {(m.revision, m.patch.revisions) for m in others} == {(name, (name,))}
    assert mutants.load_all()[: len(MUTANTS)] == MUTANTS


@pytest.mark.parametrize("name", mutants.REVISIONS)
def test_mistakes_that_a_whole_matrix_once_missed_are_among_the_mutants(name: str) -> None:
    assert {mutant.name for mutant in mutants.of_revision(name)} >= {
        "adapter-gone-after-first-step",
        "unconditional-pass-without-adapter",
        "text-stream-skipped",
        "text-layers-10-and-11-dropped",
    }


def test_the_description_of_a_file_is_read(tmp_path: Path) -> None:
    mutant = written(
        tmp_path, "scale-lost", "Mistake: the scale is lost\nSelect: a@auto, b*\nRevisions: 2026-05"
    )
    assert (mutant.mistake, mutant.select, mutant.control) == ("the scale is lost", ("a@auto", "b*"), False)
    assert mutant.patch.files == ("src/lora.hpp",)
    assert not list(mutants.complaints([mutant]))
    assert written(tmp_path, "no-change", "Control: nothing is new here").control


def test_a_file_without_a_description_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SeriesInvalid, match="silent-one"):
        written(tmp_path, "silent-one", "Select: a")


@pytest.mark.parametrize(
    ("name", "head", "diff", "complaint"),
    [
        ("Wrong", "Mistake: the scale is lost", DIFF, "name the file"),
        ("a-b", "Mistake: the scale is lost", DIFF.replace("lora.hpp", "vae.hpp"), "not on the LoRA path"),
        ("a-b", "Mistake: lost", DIFF, "describe the mistake"),
        ("a-b", "Mistake: the scale is lost", DIFF, "add a Select: line"),
        ("a-b", "Mistake: the scale is lost", DIFF, "add a Revisions: line"),
    ],
)
def test_each_rule_is_checked(tmp_path: Path, name: str, head: str, diff: str, complaint: str) -> None:
    assert any(complaint in line for line in mutants.complaints([written(tmp_path, name, head, diff)]))


def test_two_files_with_the_same_description_are_refused(tmp_path: Path) -> None:
    pair = [written(tmp_path, name, "Mistake: the scale is lost") for name in ("one-a", "one-b")]
    assert any("has the same description as one-a.patch" in line for line in mutants.complaints(pair))
