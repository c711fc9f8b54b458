from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import Case
from harness.records import record
from harness.records.record import Records
from harness.records.verdict import Verdict
from harness.reports.progress import Progress
from harness.verification.observer import Observer
from sdcpp.binding.build_folder import Build
from tests.unit import killable_run

pytestmark = pytest.mark.usefixtures("cache_folder")


def observe(path: Path, *builds: BuildUnderTest) -> Records:
    run = record.Run(plan="", title="", command="", machine={}, started="", project="")
    records = Records(run=run, sides={build.side.label: build.side for build in builds})
    with record.Writer(path) as writer:
        writer.run(run)
        Observer(builds, records, writer, ()).run(2)
    return records


def test_what_is_in_the_records_is_in_the_file_too(fake_build: Callable[..., Build], tmp_path: Path) -> None:
    build, path = killable_run.build_under_test(fake_build("C")), tmp_path / "records.jsonl"
    records = observe(path, build)
    assert {shot for _, shot in records.observations} == {s.name for case in build.cases for s in case.shots}
    written = record.read(path)
    assert written.observations == records.observations
    assert set(written.pictures) == set(records.pictures)
    assert not records.cells


def test_the_progress_counts_each_case_once(
    fake_build: Callable[..., Build], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[Verdict] = []
    monkeypatch.setattr(Progress, "update", lambda _, __, verdicts: counted.extend(verdicts))
    build = killable_run.build_under_test(fake_build("C"))
    twice = [dataclasses.replace(case, without=case.shot) for case in build.cases if isinstance(case, Case)]
    observe(tmp_path / "records.jsonl", dataclasses.replace(build, cases=twice))
    assert len(counted) == len(twice) > 0


def test_only_the_first_unexpected_failure_is_shown(
    fake_build: Callable[..., Build], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build = killable_run.build_under_test(fake_build("C"))
    observe(tmp_path / "one.jsonl", build)
    shown = capsys.readouterr().err
    assert shown.count("first failure: fake times-") == 1
    assert "$ none times-" in shown
    observe(tmp_path / "two.jsonl", dataclasses.replace(build, baseline="fake"))
    assert "first failure" not in capsys.readouterr().err
