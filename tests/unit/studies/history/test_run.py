from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.cases import core
from harness.records.verdict import Verdict
from harness.studies.history import run
from harness.studies.history.run import HistoryRow
from sdcpp import cache
from sdcpp.errors import BuildFailed, FileInvalid, NetworkUnavailable
from sdcpp.source import revision, workspace
from sdcpp.source.revision import Revision
from tests.unit.studies.history.history_rows import GROUPS, NAMES, row


def test_every_record_has_a_commit_of_the_registry_and_all_cases() -> None:
    for name, found in run.load().items():
        known = revision.find(name)
        assert found.commit == (known.commit or known.short_commit)
        assert found.base == core.base_for(revision.find(name).date).name
        if not found.failed:
            assert list(found.cases) == list(core.CORE_CASES)
            asked = {(j.side, j.case, j.mode) for j in found.judgements}
            assert len(asked) == len(found.judgements) == 2 * len(found.modes) * len(core.CORE_CASES)


def test_records_contain_no_folders_or_addresses_of_a_machine() -> None:
    quoted = "\n".join(j.evidence for found in run.load().values() for j in found.judgements)
    assert "GGML_ASSERT" in quoted
    assert not re.findall(r"(?:^|\s)/\w+/\S*|0x[0-9a-f]{8,}", quoted)


def test_there_is_one_revision_for_each_commit_of_the_sdists() -> None:
    own = [group for group in GROUPS if not group[0].fork_of]
    assert sum(map(len, own)) == 37
    assert len({group[0].commit for group in own}) == len(own) == 30
    assert [group[0].name for group in GROUPS if group not in own] == ["2026-07"]
    assert [one.name for one in run.representatives()] == NAMES[::-1]
    assert (NAMES[0], NAMES[-1]) == ("0.1.1", "2026-07")


def test_a_row_is_read_as_written(tmp_path: Path) -> None:
    one = row("0.2.9", Verdict.ABORT, patches={"a.patch": "applies"}, seconds={"run": 1.5})
    assert run.load(tmp_path) == {}
    assert run.read(run.write(one, tmp_path)) == one
    assert run.load(tmp_path) == {"0.2.9": one}


def test_a_torn_record_is_named_with_its_line(tmp_path: Path) -> None:
    path = run.write(row("0.2.9"), tmp_path)
    path.write_text(path.read_text(encoding="utf-8")[:-5], encoding="utf-8")
    with pytest.raises(FileInvalid, match=r"0\.2\.9\.jsonl:2 .*\n?.*remove it"):
        run.read(path)


def test_a_failed_build_makes_a_row_and_a_failed_download_does_not(
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

    def build_sides(wanted: Revision, *_: object) -> None:
        raise errors[wanted.name]

    monkeypatch.setattr(run, "build_sides", build_sides)
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
