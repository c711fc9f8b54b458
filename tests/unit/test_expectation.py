from __future__ import annotations

import dataclasses
import fnmatch
import re
from pathlib import Path

import pytest

from harness import expectation
from harness.expectation import Expectation, standing
from harness.verdict import Standing, Verdict
from sdcpp import project, revision
from sdcpp.errors import FileInvalid

ENTRY = Expectation(
    revisions=["2025-12"],
    cases=["gguf-*"],
    modes=["auto"],
    verdicts=[Verdict.NO_EFFECT, Verdict.TIMEOUT],
    bases=["flux-*"],
    reason="x",
    without_patch="p",
)
CASE = {
    "revision": "2025-12",
    "patches": (),
    "backend": "cpu",
    "case": "gguf-F16",
    "mode": "auto",
    "base": "flux-small",
}


def test_an_entry_speaks_of_what_it_names() -> None:
    assert ENTRY.fits(**CASE)  # type: ignore[arg-type]
    for change in (
        {"revision": "2026-05"},
        {"patches": ("p",)},
        {"case": "none"},
        {"mode": "at_runtime"},
        {"base": "sd1-tiny"},
    ):
        assert not ENTRY.fits(**{**CASE, **change})  # type: ignore[arg-type]


def test_one_entry_for_the_forms_of_a_patch() -> None:
    both = dataclasses.replace(ENTRY, without_patch="p*")
    assert both.fits(**{**CASE, "patches": ("q",)})  # type: ignore[arg-type]
    for form in ("p", "p-generation-b"):
        assert not both.fits(**{**CASE, "patches": ("q", form)})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("verdict", "expected", "stands"),
    [
        (Verdict.PASS, None, Standing.GOOD),
        (Verdict.PASS, ENTRY, Standing.FIXED),
        (Verdict.NO_EFFECT, ENTRY, Standing.KNOWN),
        (Verdict.TIMEOUT, ENTRY, Standing.KNOWN),
        (Verdict.WRONG, ENTRY, Standing.RED),
        (Verdict.ABORT, None, Standing.RED),
        (Verdict.UNJUDGED, None, Standing.RED),
        (Verdict.SKIPPED, None, Standing.IDLE),
        (Verdict.MISDIRECTED, None, Standing.RED),
    ],
)
def test_standing(verdict: Verdict, expected: Expectation | None, stands: Standing) -> None:
    assert standing(verdict, expected) is stands


def test_the_reason_is_told_where_the_entry_speaks_of_the_verdict() -> None:
    facts = {
        "revision": "2026-05",
        "backend": "cpu",
        "base": "flux-small",
        "case": "gguf-Q8_0",
        "mode": "auto",
    }
    entry = Expectation(revisions=["2026-*"], cases=["gguf-Q*"], verdicts=[Verdict.ABORT], reason="it aborts")
    other = dataclasses.replace(entry, reason="never reached")

    def stand(verdict: Verdict, **changed: str) -> tuple[Standing, str]:
        return expectation.stand(verdict, [entry, other], patches=(), **{**facts, **changed})

    assert stand(Verdict.ABORT) == (Standing.KNOWN, "it aborts")
    assert stand(Verdict.PASS) == (Standing.FIXED, "it aborts")
    assert stand(Verdict.WRONG) == (Standing.RED, "")
    assert stand(Verdict.SKIPPED) == (Standing.IDLE, "")
    assert stand(Verdict.PASS, case="gguf-F16") == (Standing.GOOD, "")
    assert stand(Verdict.ABORT, case="gguf-F16") == (Standing.RED, "")


def test_the_projects_own_entries_name_what_there_is() -> None:
    entries = expectation.load()
    assert entries
    patches = {path.stem for path in project.PATCHES.glob("*.patch")}
    for entry in entries:
        assert set(entry.revisions) <= set(revision.load())
        assert not entry.without_patch or fnmatch.filter(patches, entry.without_patch)


def test_sections_that_reasons_point_to_are_there() -> None:
    sections = set(re.findall(r"^##+ (.*)$", (project.ROOT / "docs/findings.md").read_text(), re.M))
    named = [re.search(r"docs/findings.md: (.*)\)$", entry.reason) for entry in expectation.load()]
    assert {found[1] for found in named if found} <= sections


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('verdict = "PASS"\nreason = ""\nrevisions = []\ncases = []', "no reason"),
        ('verdict = "BAD"\nreason = "x"\nrevisions = []\ncases = []', "BAD"),
        ('verdict = "PASS"\nreason = "x"\nrevision = []\ncases = []', "revision"),
    ],
)
def test_a_broken_entry_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "e.toml"
    path.write_text(f"[[expectation]]\n{text}\n")
    with pytest.raises(FileInvalid, match=f"entry 1.*{complaint}"):
        expectation.load(path)
