from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.cases import core
from harness.cases.matrix import BlockMaker
from harness.cli import main as command
from harness.records.verdict import Verdict
from harness.studies.history import chart, defects, run, survey
from harness.studies.history import page as report
from harness.studies.history.run import HistoryJudgement, HistoryRow
from sdcpp import cache
from sdcpp.errors import BuildFailed, FileInvalid, NetworkUnavailable
from sdcpp.source import revision, workspace
from sdcpp.source.revision import Revision
from tests.unit import fakelib

GROUPS = run.commits(revision.load())
NAMES = [group[-1].name for group in GROUPS]


def row(name: str, verdict: Verdict = Verdict.PASS, case: str = "rank-1", **more: object) -> HistoryRow:
    judged = HistoryJudgement(
        side="pristine", case=case, mode="immediately", verdict=verdict, evidence="so <it> is"
    )
    facts = {"modes": ["immediately"], "cases": [case], "machine": {"cores": "2", "processor": "x"}, **more}
    return HistoryRow(revision=name, commit="c" * 40, base="sd1", judgements=[judged], **facts)  # type: ignore[arg-type]


def test_the_page_and_its_chart_are_made_of_the_records() -> None:
    rows = run.load()
    command = "run `sdcpp history --docs`"
    assert report.PAGE.read_text(encoding="utf-8") == report.page(rows, GROUPS, survey.load()), command
    assert report.CHART.read_text(encoding="utf-8") == chart.svg(rows, GROUPS), command


def test_every_record_is_of_a_commit_of_the_registry_and_has_all_cases() -> None:
    for name, found in run.load().items():
        assert found.commit == revision.find(name).commit
        assert found.base == core.base_for(revision.find(name).date).name
        if not found.failed:
            assert list(found.cases) == list(core.CORE_CASES)
            asked = {(j.side, j.case, j.mode) for j in found.judgements}
            assert len(asked) == len(found.judgements) == 2 * len(found.modes) * len(core.CORE_CASES)


def test_records_quote_no_folders_or_addresses_of_a_machine() -> None:
    quoted = "\n".join(j.evidence for found in run.load().values() for j in found.judgements)
    assert "GGML_ASSERT" in quoted
    assert not re.findall(r"(?:^|\s)/\w+/\S*|0x[0-9a-f]{8,}", quoted)


def test_the_commits_are_those_of_all_sdists_oldest_first() -> None:
    assert sum(map(len, GROUPS)) == 37
    assert len({group[0].commit for group in GROUPS}) == len(GROUPS) == 30
    assert [one.name for one in run.representatives()] == NAMES[::-1]
    assert (NAMES[0], NAMES[-1]) == ("0.1.1", "2026-05")


@pytest.mark.parametrize(
    ("date", "name"),
    [
        ("2024-03-12", "sd1-whole"),
        ("2024-09-02", "sd1"),
        ("2025-10-17", "sd1"),
        ("2025-11-10", "sd1-tiny"),
        ("2026-01-14", "sd1-tiny"),
        ("2026-02-01", "flux-small"),
        (None, "flux-small"),
        ("1970-01-01", "flux-small"),
    ],
)
def test_the_base_model_is_the_smallest_that_a_revision_loads(date: str | None, name: str) -> None:
    assert core.base_for(date).name == name
    cases = core.matrix(date).cases("A", ("auto", "immediately"), BlockMaker())
    assert [case.name for case in cases] == list(core.CORE_CASES)
    assert {case.dimensions["mode"] for case in cases} == {"immediately"}
    assert {shot.base.name for case in cases for shot in case.shots} == {name}


def test_a_row_is_written_and_read_whole(tmp_path: Path) -> None:
    one = row("0.2.9", Verdict.ABORT, patches={"a.patch": "applies"}, seconds={"run": 1.5})
    assert run.load(tmp_path) == {}
    assert run.read(run.write(one, tmp_path)) == one
    assert run.load(tmp_path) == {"0.2.9": one}


def test_a_torn_record_is_named_with_its_line(tmp_path: Path) -> None:
    path = run.write(row("0.2.9"), tmp_path)
    path.write_text(path.read_text(encoding="utf-8")[:-5], encoding="utf-8")
    with pytest.raises(FileInvalid, match=r"0\.2\.9\.jsonl:2 .*\n?.*remove it"):
        run.read(path)


def test_what_cannot_be_built_is_a_row_and_what_cannot_be_fetched_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache_folder: Path
) -> None:
    monkeypatch.setattr(run, "RESULTS", tmp_path)
    monkeypatch.setattr(workspace, "workspace", lambda wanted: wanted)
    written: list[HistoryRow] = []
    monkeypatch.setattr(run, "write", written.append)
    errors = {
        "0.2.9": BuildFailed("compilation failed", "x.cpp:1: no", "see the log"),
        "0.3.0": NetworkUnavailable("no network", "x", "y"),
    }

    def contend(wanted: Revision, *_: object) -> None:
        raise errors[wanted.name]

    monkeypatch.setattr(run, "build_sides", contend)
    wanted = [revision.find(name) for name in errors]
    left = cache_folder / "builds" / "0.2.9-cpu-pristine-0123"
    left.mkdir(parents=True)
    rows = run.run_all(wanted[::-1], tmp_path / "reports", keep=False, jobs=1)
    found = [next(rows)]
    with pytest.raises(NetworkUnavailable):  # only once the others have been run
        next(rows)
    assert [one.revision for one in found] == [one.revision for one in written] == ["0.2.9"]
    assert "x.cpp:1: no" in found[0].failed
    assert not left.exists()
    assert cache.root() == cache_folder


def test_some_cases_are_shown_and_leave_no_record(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[object] = []

    def run(wanted: Revision, *_: object, **more: object) -> HistoryRow:
        asked.extend([wanted.name, more["select"]])
        return row(wanted.name, Verdict.ABORT)

    monkeypatch.setattr("harness.studies.history.run.run", run)
    monkeypatch.setattr("harness.studies.history.run.write", lambda *_: pytest.fail("wrote a record"))
    assert command.main(["history", "--revision", "0.2.9", "--select", "rank-*"]) == 0
    assert asked == ["0.2.9", ["rank-*"]]
    assert capsys.readouterr().out == "0.2.9 pristine rank-1@immediately: abort so <it> is\n"


def test_the_chart_shows_every_commit_and_says_which_were_not_run() -> None:
    rows = {"0.2.4": row("0.2.4", Verdict.ABORT), "0.2.5": row("0.2.5", failed="no compiler")}
    drawn = ElementTree.fromstring(chart.svg(rows, GROUPS))  # noqa: S314 - our own
    texts = ["".join(text.itertext()) for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    for name in NAMES:
        assert sum(text.endswith(f" · {name}") for text in texts) == 1
    assert texts.count("not run") == len(GROUPS) - 2
    assert sum("not built" in text for text in texts) == 1
    titles = [title.text or "" for title in drawn.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == ["0.2.4 pristine, rank-1, immediately: ABORT so <it> is"]
    assert "prefers-color-scheme: dark" in chart.svg(rows, GROUPS)


def test_the_page_says_when_a_case_broke_and_what_was_not_run_between() -> None:
    rows = {
        "0.2.2": row("0.2.2"),
        "0.2.3": row("0.2.3", Verdict.ABORT),
        "0.2.5": row("0.2.5"),
    }
    text = report.page(rows, GROUPS, {})
    steps = re.findall(r"^- immediately: (.*)$", text, re.MULTILINE)
    assert len(steps) == 2
    assert steps[0].startswith("ok in 0.2.2 (9578fdc, 2024-11-30), abort in 0.2.3 (dcf91f9, 2024-12-28): `so")
    assert steps[1].startswith("abort in 0.2.3")
    assert "(1 of the commits between them not run)" in steps[1]


def test_records_are_compared_with_what_upstream_says() -> None:
    rank = next(defect for defect in defects.KNOWN if defect.case == "rank-1")
    assert (rank.first, rank.last) == ("0.1.1", "0.2.4")
    rows = {
        "0.2.3": row("0.2.3", Verdict.ABORT),  # as said
        "0.2.4": row("0.2.4"),  # said to abort
        "0.2.6": row("0.2.6", Verdict.WRONG),  # said to be mended
        "0.2.7": row("0.2.7"),
    }
    (line,) = [line for line in report.page(rows, GROUPS, {}).splitlines() if "issue 573" in line]
    assert "| 2 of 4 | 0.2.4: ok; 0.2.6: wrong |" in line


def test_a_verdict_that_another_defect_explains_is_no_surprise() -> None:
    judged = HistoryJudgement(side="patched", case="gguf-Q8_0", mode="immediately", verdict=Verdict.ABORT)
    rows = {name: replace(row(name), judgements=[judged]) for name in ("0.2.2", "0.3.0", "0.3.8")}
    lines = [line for line in report.page(rows, GROUPS, {}).splitlines() if "a quantised GGUF LoRA" in line]
    assert [line.split(" | ")[2:] for line in lines] == [["1 of 2", "0.3.0: abort |"]] * 3


def test_what_fails_and_is_no_known_defect_is_listed() -> None:
    judged = [
        HistoryJudgement(side="pristine", case=case, mode=mode, verdict=Verdict.WRONG)
        for case, mode in (
            ("ckpt-F16", "at_runtime"),
            ("wrong-shape", "at_runtime"),
            ("gguf-Q4_0", "immediately"),
        )
    ]
    rows = {name: replace(row(name), judgements=judged) for name in ("0.4.4", "0.4.5")}
    text = report.page(rows, GROUPS, {})
    listed = text.partition("none of these:\n\n")[2].partition("\n\n")[0]
    assert listed == "- `ckpt-F16`, at_runtime: wrong in 0.4.4, 0.4.5"
    assert "Nothing else fails in upstream." in report.page({"0.2.9": row("0.2.9")}, GROUPS, {})


def test_every_defect_is_of_a_case_and_of_revisions_that_there_are() -> None:
    for defect in defects.KNOWN:
        assert defect.case in core.CORE_CASES
        assert defect.covers(NAMES.index(defect.first), NAMES)
        assert defect.last is None or defect.covers(NAMES.index(defect.last), NAMES)
        assert defect.judged(replace(row("x", case=defect.case), judgements=[])) is None


def test_the_survey_proves_every_header_and_tries_every_patch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees = {name: fakelib.tree(tmp_path / name, name) for name in fakelib.FAKES}
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    for name, folder in trees.items():
        entry = survey.examine(revision.from_folder(folder))
        assert entry.binding["generation"] == name[0]
        assert entry.binding["context_arguments"] == (8 if name == "A-positional" else 1)
        assert set(entry.patches) == {patch.name for patch in run.patches()}
    text = (trees["C"] / "stable-diffusion.h").read_text(encoding="utf-8")
    (trees["C"] / "stable-diffusion.h").write_text(f"{text}\nint f(int, ...);\n", encoding="utf-8")
    (tmp_path / "cache2").mkdir()
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache2"))
    entry = survey.examine(revision.from_folder(trees["C"]))
    assert not entry.binding
    assert "variable arguments" in entry.unbound


def test_what_is_surveyed_is_every_sdist_proved_and_the_page_shows_it() -> None:
    known = survey.load()
    assert set(known) == {one.name for group in GROUPS for one in group}
    for name, entry in known.items():
        assert not entry.unbound, name
        assert entry.binding["generation"] == revision.find(name).lora_api
        assert entry.patches, name
