"""Which names of LoRAs a really built library understands, for every version of models, without a model."""

from __future__ import annotations

import sys

import pytest

from harness.cli.study.names import measure
from harness.layers.versions import ROWS
from harness.records import understood_names
from harness.records.understood_names import NamesOfBuild
from harness.studies.names import measurement, program
from sdcpp.source import revision, workspace
from tests.regress.conftest import PATIENT

pytestmark = [
    PATIENT,
    pytest.mark.skipif(sys.platform == "win32", reason="the library of Windows exports its C functions only"),
]

REVISION = "2026-07"


@pytest.fixture(scope="module")
def builds() -> list[NamesOfBuild]:
    return measure(REVISION, ("pristine", "patched"))


def test_every_version_of_the_source_has_a_row() -> None:
    numbers = program.version_numbers(workspace.workspace(revision.find(REVISION)))
    assert measurement.without_row(numbers) == []
    assert {version.name for version in ROWS} <= set(numbers)


def test_what_the_library_understands_is_what_is_kept(builds: list[NamesOfBuild]) -> None:
    kept = understood_names.read()
    assert [(build.revision, build.state) for build in kept] == [
        (build.revision, build.state) for build in builds
    ]
    for was, now in zip(kept, builds, strict=True):
        assert now.rows == was.rows, "run sdcpp study names --write-docs, and the command of docs/names.md"


def test_the_series_loses_no_name(builds: list[NamesOfBuild]) -> None:
    pristine, patched = ({row.key: row for row in build.rows} for build in builds)
    assert pristine.keys() == patched.keys()
    for key, row in pristine.items():
        assert patched[key].right >= row.right, key


def test_every_trainers_names_of_the_published_layers_are_understood(builds: list[NamesOfBuild]) -> None:
    """ComfyUI's names are those of the checkpoint with a prefix."""
    rows = [row for row in builds[1].rows if row.trainer == "comfy" and not row.text_encoder]
    assert {row.version for row in rows} >= {"HiDream-O1", "PiD"}  # the library's layers have another prefix
    assert {row.version for row in rows if row.wrong} == set()
