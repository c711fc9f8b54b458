from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.records import record
from sdcpp.errors import FileInvalid


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


def test_a_broken_line_in_the_middle_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(HEAD + "{\n{}\n", encoding="utf-8")
    with pytest.raises(FileInvalid, match=r"records\.jsonl:2"):
        record.read(path)
