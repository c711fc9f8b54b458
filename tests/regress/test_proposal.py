"""A contributor's changes, good and bad, on a real checkout, and the verdict that each deserves.

All are built one after another in the same workspace, so that each compiles only what it touches.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.cli.main import main
from harness.records import record
from harness.records.record import Records
from harness.records.verdict import Verdict
from harness.reports import before_after
from harness.reports.table import arrange
from harness.studies.mutation.mutants import FOLDER
from sdcpp import cache
from sdcpp.source import revision, workspace
from tests.regress.conftest import PATIENT
from tests.unit.git_repositories import git

pytestmark = PATIENT

GGUF, EXTEND, HEADER = "src/model_io/gguf_io.cpp", "src/ggml_extend.hpp", "include/stable-diffusion.h"
#: Old text and new text by file.
Edits = Mapping[str, tuple[str, str]]
#: Fixes a defect of upstream: a quantised adapter aborts the process in immediate mode on the CPU.
FIX: Edits = {
    EXTEND: (
        "ggml_ext_cast_f32(ggml_context* ctx, ggml_backend_t backend, ggml_tensor* a) {\n",
        "ggml_ext_cast_f32(ggml_context* ctx, ggml_backend_t backend, ggml_tensor* a) {\n"
        "    if (ggml_is_quantized(a->type)) {\n        return ggml_cast(ctx, a, GGML_TYPE_F32);\n    }\n",
    )
}
#: Breaks one corner: BF16 tensors of a GGUF file are taken for F16.
BREAK: Edits = {
    GGUF: (
        "tensor_storage(name, dummy->type, ",
        "tensor_storage(name, dummy->type == GGML_TYPE_BF16 ? GGML_TYPE_F16 : dummy->type, ",
    )
}
CASES = ("gguf-F16@immediately", "gguf-BF16@immediately", "gguf-Q8_0@immediately")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributor:
    """A checkout to make changes in, and the command that verifies them."""

    folder: Path
    output: Path

    def edit(self, *edits: Edits) -> None:
        for each in edits:
            for name, (old, new) in each.items():
                path = self.folder / name
                content = path.read_bytes().decode()
                assert old in content, f"{name} is not what it was"
                path.write_bytes(content.replace(old, new, 1).encode())

    def verify(self, *words: str, cases: tuple[str, ...] = CASES) -> int:
        shutil.rmtree(self.output, ignore_errors=True)
        quick = f"CMAKE_PROJECT_stable-diffusion_INCLUDE={(FOLDER / 'quick.cmake').as_posix()}"
        select = [word for case in cases for word in ("--case", case)]
        where = ["--where", "base=flux-small", "--output", os.fspath(self.output)]
        proposal = words or ("--checkout", os.fspath(self.folder))
        return main(["verify", *proposal, "-D", quick, *select, *where])

    @property
    def records(self) -> Records:
        return record.read(self.output / "records.jsonl")

    @property
    def report(self) -> str:
        return (self.output / "report.md").read_text()

    def became(self) -> dict[str, tuple[str, str, str]]:
        """Return for each case its verdict before and after, and what that is called."""
        shown = arrange(self.records)
        [pair] = before_after.pairs(shown)
        return {
            each.after.case: (each.before.verdict, each.after.verdict, each.kind)
            for each in before_after.changes(shown, pair)
            if each.before and each.after
        }


@pytest.fixture(scope="module")
def upstream() -> tuple[Path, str]:
    """A checkout of upstream's newest named revision, made from its sdist, and its commit.

    Its place is the same in every session, and so is the workspace with the objects.
    """
    folder = cache.root() / "checkouts" / "contributor"
    tree = workspace.workspace(revision.find("2026-05"))
    if not (folder / ".git").exists():
        folder.mkdir(parents=True)
        git(folder, "init", "--quiet", "--initial-branch=master")
        (folder / ".git" / "info" / "attributes").write_text("* -text -ident\n", encoding="utf-8")
        git(folder, "fetch", "--quiet", "--depth=1", os.fspath(tree.path), tree.base)
        git(folder, "update-ref", "refs/remotes/origin/master", "FETCH_HEAD")
    return folder, git(folder, "rev-parse", "refs/remotes/origin/master")


@pytest.fixture
def contributor(upstream: tuple[Path, str], tmp_path: Path) -> Contributor:
    folder, commit = upstream
    git(folder, "checkout", "--quiet", "--force", "-B", "fix", commit)
    git(folder, "clean", "--quiet", "-ffdx")
    return Contributor(folder=folder, output=tmp_path / "report")


def test_a_change_of_documents_needs_no_run(contributor: Contributor) -> None:
    (contributor.folder / "docs" / "lora.md").write_text("Use GGUF.\n")
    (contributor.folder / "notes.md").write_text("new, and not added\n")
    assert contributor.verify() == 0
    assert not contributor.records.observations
    assert "0 fixed, 0 regressed, 3 unchanged (not run:" in contributor.report.replace("\\", "")
    assert "`notes.md` +1 −0" in contributor.report


def test_a_change_of_white_space_needs_no_run(contributor: Contributor) -> None:
    contributor.edit({GGUF: ("int n_tensors = static_cast", "int n_tensors =   static_cast")})
    assert contributor.verify() == 0
    assert not contributor.records.observations


def test_a_change_that_does_not_compile_says_where(
    contributor: Contributor, capsys: pytest.CaptureFixture[str]
) -> None:
    contributor.edit({GGUF: ("int n_tensors =", "int n_tensors = nothing +")})
    assert contributor.verify() == 31
    said = capsys.readouterr().err
    assert f"compilation failed with the change: {GGUF}:71: " in " ".join(said.split())
    assert "nothing" in said
    assert "Traceback" not in said


def test_one_bad_corner_is_a_regression(contributor: Contributor) -> None:
    contributor.edit(BREAK)
    before = git(contributor.folder, "status", "--porcelain")
    assert contributor.verify() == 5
    assert git(contributor.folder, "status", "--porcelain") == before
    assert contributor.became() == {
        "gguf-F16": (Verdict.PASS, Verdict.PASS, "unchanged"),
        "gguf-BF16": (Verdict.PASS, Verdict.WRONG, "regressed"),
        "gguf-Q8_0": (Verdict.ABORT, Verdict.ABORT, "unchanged"),
    }
    assert "0 fixed, 1 regressed, 2 unchanged" in contributor.report
    assert "| **regressed** | `gguf-BF16@immediately` flux-small | PASS" in contributor.report
    assert f"- change: `{GGUF}` +1 −1" in contributor.report


def test_a_real_repair_is_seen_and_breaks_nothing(contributor: Contributor) -> None:
    contributor.edit(FIX)
    git(contributor.folder, "commit", "--quiet", "--all", "--message=fix: cast quantised tensors")
    assert contributor.verify() == 0
    assert contributor.became()["gguf-Q8_0"] == (Verdict.ABORT, Verdict.PASS, "fixed")
    assert "1 fixed, 0 regressed, 2 unchanged" in contributor.report
    assert "fix: cast quantised tensors" in contributor.report
    assert (
        "flux-small: 2 of 2 cells that passed still pass, 2 with the same picture byte for byte"
        in contributor.report
    )
    assert "GGML_ASSERT" in (contributor.output / "bugs.md").read_text()


def test_mending_one_thing_does_not_hide_breaking_another(contributor: Contributor) -> None:
    contributor.edit(FIX, BREAK)
    assert contributor.verify() == 5
    assert {case: kind for case, (_, _, kind) in contributor.became().items()} == {
        "gguf-F16": "unchanged",
        "gguf-BF16": "regressed",
        "gguf-Q8_0": "fixed",
    }


def test_each_side_is_called_by_its_own_header(contributor: Contributor) -> None:
    old = "typedef struct {\n    const sd_lora_t* loras;\n"
    contributor.edit({HEADER: (old, old.replace("{\n", "{\n    double reserved[3];\n"))})
    assert contributor.verify(cases=("none@immediately", "gguf-F16@immediately")) == 0
    assert set(contributor.became().values()) == {(Verdict.PASS, Verdict.PASS, "unchanged")}
    identities = [side.identity for side in contributor.records.sides.values()]
    assert len(set(identities)) == 2, "two builds, both run"
    assert len({seen.build for seen in contributor.records.observations.values()}) == 2


def test_a_patch_that_does_not_fit_shows_its_hunk(
    contributor: Contributor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contributor.edit(BREAK)
    patch = git(contributor.folder, "diff") + "\n"
    (tmp_path / "stale.patch").write_text(patch.replace("size_t offset ", "size_t shift "))
    assert contributor.verify("--patch", os.fspath(tmp_path / "stale.patch")) == 20
    said = capsys.readouterr().err
    assert f"{GGUF}, line" in said
    assert "this hunk does not apply" in said
    assert "size_t shift" in said


def test_without_a_change_or_a_case_nothing_was_tried(contributor: Contributor) -> None:
    assert contributor.verify() == 60
    (contributor.folder / "notes.md").write_text("")
    assert contributor.verify(cases=("no-such-case",)) == 60
