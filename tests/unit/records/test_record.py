from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from harness.records import record
from sdcpp.errors import FileInvalid, OutputRefused
from tests.unit.example_records import example, write_records

HEAD = '{"record":"run","plan":"p","title":"","command":"","machine":{},"started":"","project":""}\n'


def test_a_side_that_an_earlier_version_wrote_has_no_device(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    side = {"label": "x", "revision": "x", "patched": False, "backend": "cpu", "identity": "", "build": {}}
    path.write_text(HEAD + json.dumps({"record": "side", **side}) + "\n", encoding="utf-8")
    old = record.read(path).sides["x"]
    assert (old.device, old.driver, old.bases) == ("", "", {})


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    with record.Writer(path) as writer:
        writer.run(record.Run(plan="p", title="", command="", machine={}, started="", project=""))
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"record":"observ')
    record.drop_torn_line(path)
    assert path.read_bytes() == whole
    assert record.read(path).run.plan == "p"


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    full = tmp_path / "records.jsonl"
    full.symlink_to("/dev/full")
    run = record.Run(plan="p", title="", command="", machine={}, started="", project="")
    message = f"cannot be written .No space left on device.: {full}; free some space"
    with pytest.raises(OutputRefused, match=message), record.Writer(full) as writer:
        writer.run(run)
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "records.jsonl", tmp_path / ("long" * 100)):
        with pytest.raises(OutputRefused):
            record.Writer(path)


def test_a_broken_line_in_the_middle_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(HEAD + "{\n{}\n", encoding="utf-8")
    with pytest.raises(FileInvalid, match=r"records\.jsonl:2"):
        record.read(path)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    records = example(broken=True)
    write_records(records, tmp_path / "records.jsonl")
    assert record.read(tmp_path / "records.jsonl") == records


def test_repeats_are_read_back_by_their_number(tmp_path: Path) -> None:
    records = example()
    seen = next(iter(records.observations.values()))
    with record.Writer(tmp_path / "records.jsonl") as writer:
        writer.run(records.run)
        writer.observation(seen)
        writer.observation(seen, repeat=2)
        writer.observation(seen, repeat=1)
    found = record.read(tmp_path / "records.jsonl")
    assert found.observations == {(seen.build, seen.shot): seen}
    assert found.repeats == {(seen.build, seen.shot, number): seen for number in (1, 2)}
    assert found.repeats_of(seen.build) == {number: {seen.shot: seen} for number in (1, 2)}
    assert list(found.repeats_of(seen.build)) == [1, 2]
    assert found.repeats_of("another") == {}


def test_a_compressed_file_is_read_and_a_damaged_one_refused(tmp_path: Path) -> None:
    records = example()
    write_records(records, tmp_path / "records.jsonl")
    path = tmp_path / "records.jsonl.gz"
    path.write_bytes(gzip.compress((tmp_path / "records.jsonl").read_bytes()))
    assert record.read(path) == records
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FileInvalid, match="no records"):
        record.read(path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no records"),
        ('{"record":"end","finished":"now"}\n', r"records\.jsonl:1 .*not the head of a run"),
        (HEAD + '{"record":"poem"}\n', r"records\.jsonl:2 .*unknown record 'poem'"),
        (HEAD + '{"record":"cell","side":"x"}\n', r"records\.jsonl:2"),
    ],
)
def test_what_is_no_records_file_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FileInvalid, match=complaint):
        record.read(path)


def test_a_picture_is_written_once(tmp_path: Path) -> None:
    path, pixels = tmp_path / "records.jsonl", next(iter(example().pictures.values()))
    with record.Writer(path) as writer:
        name = writer.picture(pixels)
        assert writer.picture(pixels.copy()) == name
    with record.Writer(path, [name]) as writer:
        assert writer.picture(pixels) == name
    assert path.read_text(encoding="utf-8").count('"record":"picture"') == 1


def test_observations_are_those_of_one_build() -> None:
    records = example()
    build = records.sides["2025-12 pristine"].identity
    found = records.of(build)
    assert found
    assert {seen.build for seen in found.values()} == {build}
    assert len(found) < len(records.observations)
