from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import MODES
from harness.cases.families import with_bases
from harness.cases.fixture import BlockQuantiser
from harness.records.record import Side
from sdcpp.binding.build_folder import Build

pytestmark = pytest.mark.usefixtures("cache_folder")


def test_the_command_that_reruns_a_case_names_the_base_model_if_there_are_several(tmp_path: Path) -> None:
    [case] = [
        case
        for case in with_bases({"minit2i"}).cases("C", MODES, BlockQuantiser())
        if (case.name, case.dimensions["mode"]) == ("gguf-F16", "immediately")
    ]
    one = BuildUnderTest(
        side=Side(label="x", revision="x", patched=False, backend="cpu", identity="x", build={}),
        build=Build(identity="x", folder=tmp_path, library=tmp_path, header=tmp_path, record={}),
        cases=[case],
        repeat="sdcpp verify --matrix families --case",
    )
    assert one.rerun(case) == "sdcpp verify --matrix families --case gguf-F16@immediately"
    several = replace(one, names_base=True)
    assert several.rerun(case) == f"{one.rerun(case)} --where base=minit2i"
