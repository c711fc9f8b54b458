from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.studies import record_file
from sdcpp.errors import FileInvalid, NothingTried


@dataclass(frozen=True)
class Study:
    losses: tuple[float, ...]


def make(entry: dict[str, Any]) -> Study:
    return Study(losses=tuple(entry["losses"]))


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    record_file.write(Study(losses=(0.25, 0.5)), path)
    assert record_file.read(path, make, command="nox -s example") == Study(losses=(0.25, 0.5))


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"losses": 1}'])
def test_a_damaged_record_names_the_session_that_makes_it_again(tmp_path: Path, text: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(FileInvalid, match="nox -s example again"):
        record_file.read(path, make, command="nox -s example")


def test_no_record(tmp_path: Path) -> None:
    with pytest.raises(NothingTried, match="nox -s example, which makes one"):
        record_file.read(tmp_path / "none.json", make, command="nox -s example")
