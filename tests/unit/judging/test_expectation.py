from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.cases.case import MODES
from harness.cases.core import CORE_CASES
from harness.cases.families import FAMILIES
from harness.cases.fixture import BlockQuantiser
from harness.cases.matrix import FULL
from harness.judging import expectation
from harness.judging.expectation import Expectation, status
from harness.records import record
from harness.records.verdict import Status, Verdict
from sdcpp import project
from sdcpp.errors import FileInvalid
from sdcpp.patching import series
from sdcpp.source import revision

ENTRY = Expectation(
    revisions=["2025-12"],
    cases=["gguf-*"],
    where={"mode": ["auto"], "base": ["flux-*"], "rank": ["1", "4"], "base type": [""]},
    verdicts=[Verdict.NO_EFFECT, Verdict.TIMEOUT],
    reason="x",
    without_patch="p",
)
NOT_JUDGED = Expectation(
    revisions=["2026-*"], verdicts=[Verdict.UNJUDGED, Verdict.UNSUPPORTED], reason="the fork lacks the reader"
)
CASE = {
    "revision": "2025-12",
    "patches": (),
    "backend": "cpu",
    "case": "gguf-F16",
    "dimensions": {"mode": "auto", "base": "flux-small", "rank": "4", "type": "F16"},
}


def but(**changed: str) -> dict[str, object]:
    """Return the facts of the case with other dimensions."""
    return {**CASE, "dimensions": {**CASE["dimensions"], **changed}}  # type: ignore[dict-item]


def test_an_entry_matches_only_what_it_names() -> None:
    assert ENTRY.matches(**CASE)  # type: ignore[arg-type]
    assert ENTRY.matches(**but(rank="1", multiplier="2"))  # type: ignore[arg-type]
    for change in ({"revision": "2026-05"}, {"patches": ("p",)}, {"case": "none"}):
        assert not ENTRY.matches(**{**CASE, **change})  # type: ignore[arg-type]
    for dimension in ({"mode": "at_runtime"}, {"base": "sd1-tiny"}, {"rank": "16"}, {"base type": "Q8_0"}):
        assert not ENTRY.matches(**but(**dimension))  # type: ignore[arg-type]


def test_a_dimension_that_a_case_lacks_is_empty() -> None:
    given = dataclasses.replace(ENTRY, where={"base type": ["?*"]})
    assert not given.matches(**CASE)  # type: ignore[arg-type]
    assert given.matches(**but(**{"base type": "Q8_0"}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("verdict", "expected", "wanted"),
    [
        (Verdict.PASS, None, Status.PASS),
        (Verdict.PASS, ENTRY, Status.XPASS),
        (Verdict.PASS, dataclasses.replace(ENTRY, verdicts=[Verdict.PASS, Verdict.ABORT]), Status.PASS),
        (
            Verdict.WRONG,
            dataclasses.replace(ENTRY, verdicts=[Verdict.PASS, Verdict.ABORT]),
            Status.UNEXPECTED,
        ),
        (Verdict.NO_EFFECT, ENTRY, Status.XFAIL),
        (Verdict.TIMEOUT, ENTRY, Status.XFAIL),
        (Verdict.WRONG, ENTRY, Status.UNEXPECTED),
        (Verdict.ABORT, None, Status.UNEXPECTED),
        (Verdict.UNJUDGED, None, Status.UNEXPECTED),
        (Verdict.SKIPPED, None, Status.SKIPPED),
        (Verdict.MISDIRECTED, None, Status.UNEXPECTED),
        (Verdict.UNSUPPORTED, None, Status.SKIPPED),
        (Verdict.UNSUPPORTED, ENTRY, Status.SKIPPED),
        (Verdict.UNJUDGED, ENTRY, Status.UNEXPECTED),
        (Verdict.UNJUDGED, NOT_JUDGED, Status.XFAIL),
        (Verdict.UNSUPPORTED, NOT_JUDGED, Status.XFAIL),
        (Verdict.PASS, NOT_JUDGED, Status.XPASS),
        (Verdict.UNSTABLE, None, Status.SKIPPED),
        (Verdict.UNSTABLE, dataclasses.replace(ENTRY, verdicts=[Verdict.WRONG]), Status.SKIPPED),
        (Verdict.UNSTABLE, dataclasses.replace(ENTRY, verdicts=[Verdict.PASS, Verdict.ABORT]), Status.XFAIL),
    ],
)
def test_status(verdict: Verdict, expected: Expectation | None, wanted: Status) -> None:
    assert status(verdict, expected) is wanted


def test_the_reason_is_given_only_if_the_status_is_xfail_or_xpass() -> None:
    facts = {
        "revision": "2026-05",
        "backend": "cpu",
        "case": "gguf-Q8_0",
    }
    entry = Expectation(revisions=["2026-*"], cases=["gguf-Q*"], verdicts=[Verdict.ABORT], reason="it aborts")
    other = dataclasses.replace(entry, reason="never reached")

    def stand(verdict: Verdict, **changed: str) -> tuple[Status, str]:
        return expectation.status_and_reason(
            verdict, [entry, other], patches=(), dimensions={}, **{**facts, **changed}
        )

    assert stand(Verdict.ABORT) == (Status.XFAIL, "it aborts")
    assert stand(Verdict.PASS) == (Status.XPASS, "it aborts")
    assert stand(Verdict.WRONG) == (Status.UNEXPECTED, "")
    assert stand(Verdict.SKIPPED) == (Status.SKIPPED, "")
    assert stand(Verdict.PASS, case="gguf-F16") == (Status.PASS, "")
    assert stand(Verdict.ABORT, case="gguf-F16") == (Status.UNEXPECTED, "")


def test_entries_of_this_project_name_existing_revisions_and_patches() -> None:
    entries = expectation.load()
    assert entries
    patches = {"", *series.names()}
    for entry in entries:
        assert set(entry.revisions) <= set(revision.load())
        assert entry.without_patch in patches


def test_every_entry_of_this_project_matches_a_case() -> None:
    blocks = dict.fromkeys(("Q4_K", "Q6_K", "TQ1_0", "TQ2_0"), 256) | {"NVFP4": 64}
    asked = {
        name: [
            case
            for matrix in (FULL, FAMILIES)
            for case in matrix.cases(generation, MODES, BlockQuantiser(types=blocks))
        ]
        for name, generation in (("2025-12", "B"), ("2026-05", "C"), ("2026-07", "C"))
    }
    for entry in expectation.load():
        for name in entry.revisions:
            assert any(
                entry.matches(
                    patches=(),
                    revision=name,
                    backend=backend,
                    case=case.name,
                    dimensions=case.dimensions,
                )
                for case in asked[name]
                for backend in ("cpu", "cuda", "vulkan")
            ), f"{entry} and no case of {name}"


def test_every_pattern_of_this_project_matches_a_case() -> None:
    names = {case.name for generation in "BC" for case in FULL.cases(generation, MODES, BlockQuantiser())}
    names |= set(CORE_CASES)
    for entry in expectation.load():
        for pattern in entry.cases:
            assert fnmatch.filter(names, pattern), f"{pattern} of: {entry.reason}"


def surprising(path: Path, entries: Sequence[Expectation]) -> list[str]:
    """Return the cells of a record whose verdict is not as expected, except what the revision lacks."""
    records, revisions, found = record.read(path), revision.load(), []
    for cell in records.cells:
        side = records.sides[cell.side]
        status, _ = expectation.status_and_reason(
            cell.verdict,
            entries,
            patches=[patch["name"] for patch in side.build["patches"]],
            revision=side.revision,
            backend=side.backend,
            case=cell.case,
            dimensions=cell.dimensions,
        )
        lacking = cell.verdict is Verdict.UNSUPPORTED and revisions[side.revision].lacks
        if status not in (Status.PASS, Status.XFAIL) and not lacking:
            found.append(f"{path.name}: {cell.side} {cell.case} {cell.dimensions}")
    return found


RECORDS = sorted(p for f in ("", "cpu/", "families/") for p in project.ROOT.glob(f"results/{f}*.jsonl*"))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.name)
def test_a_recorded_run_is_as_expected(path: Path) -> None:
    assert surprising(path, expectation.load()) == []


def test_backends_agree_on_patched_builds() -> None:
    places, with_series = set(), defaultdict(set)
    for path in sorted(project.ROOT.glob("results/*.jsonl*")):
        records = record.read(path)
        for cell in records.cells:
            side = records.sides[cell.side]
            place = side.revision, cell.case, cell.dimensions["base"], cell.dimensions["mode"]
            places.add((side.backend, side.patched, *place))
            if side.patched:
                with_series[place].add(cell.verdict)
    whole = {"2025-12": 1311, "2026-05": 1679, "2026-07": 1675}
    assert Counter(place[:3] for place in places) == {
        (backend, patched, name): count
        for backend in ("cpu", "cuda", "vulkan")
        for patched in (False, True)
        for name, count in whole.items()
    }
    assert {place: verdicts for place, verdicts in with_series.items() if len(verdicts) > 1} == {}


def test_sections_that_reasons_point_to_are_there() -> None:
    sections = set(re.findall(r"^##+ (.*)$", (project.ROOT / "docs/findings.md").read_text(), re.M))
    named = [re.search(r"docs/findings.md: (.*)\)$", entry.reason) for entry in expectation.load()]
    assert {found[1] for found in named if found} <= sections


def test_an_entry_may_say_that_a_case_cannot_be_judged(tmp_path: Path) -> None:
    path = tmp_path / "e.toml"
    text = '[[expectation]]\nrevisions = ["2026-07"]\ncases = ["ckpt-*"]\n'
    path.write_text(f'{text}verdict = ["UNJUDGED", "UNSUPPORTED"]\nreason = "no ckpt reader"\n', "utf-8")
    facts = {"revision": "2026-07", "backend": "cpu", "case": "ckpt-F16"}
    for verdict in (Verdict.UNJUDGED, Verdict.UNSUPPORTED):
        found = expectation.status_and_reason(
            verdict, expectation.load(path), patches=(), dimensions={}, **facts
        )
        assert found == (Status.XFAIL, "no ckpt reader")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('verdict = "PASS"\nreason = ""\nrevisions = []\ncases = []', "no reason"),
        ('verdict = "UNJUDGED"\nreason = ""\nrevisions = []', "no reason"),
        ('verdict = "BAD"\nreason = "x"\nrevisions = []\ncases = []', "BAD"),
        ('verdict = ["PASS", "UNSTABLE"]\nreason = "x"\nrevisions = []', "UNSTABLE is no expected verdict"),
        ('verdict = "PASS"\nreason = "x"\nrevision = []\ncases = []', "revision"),
        ('verdict = "PASS"\nreason = "x"\nrevisions = []\nmodes = ["auto"]', "modes"),
    ],
)
def test_a_broken_entry_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "e.toml"
    path.write_text(f"[[expectation]]\n{text}\n")
    with pytest.raises(FileInvalid, match=f"entry 1.*{complaint}"):
        expectation.load(path)
