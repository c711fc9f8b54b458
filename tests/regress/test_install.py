"""The wheel with its dependencies in an empty environment, outside of the checkout, with a real library."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from harness.cases.build_under_test import BuildUnderTest
from sdcpp import cache
from sdcpp.patching import series
from sdcpp.patching.state import find_states
from sdcpp.source import revision, workspace
from tests import installed_sdcpp
from tests.installed_sdcpp import InstalledSdcpp
from tests.regress.conftest import PATIENT

pytestmark = PATIENT


@pytest.fixture(scope="module")
def sdcpp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InstalledSdcpp]:
    folder = tmp_path_factory.mktemp("installed")
    yield installed_sdcpp.install(folder, dependencies=True)
    shutil.rmtree(folder)  # 250 MB


def test_the_state_of_every_patch_is_shown(sdcpp: InstalledSdcpp) -> None:
    found = find_states(workspace.workspace(revision.find("2026-05")), series.load())
    shown = sdcpp.run("patch", "state", "--revision", "2026-05").stdout.splitlines()
    assert [line.split()[1] for line in shown] == [state.patch.name for state in found]


def test_a_case_passes_with_the_builds_that_the_checkout_made(
    sdcpp: InstalledSdcpp, builds_under_test: list[BuildUnderTest]
) -> None:
    builds = set((cache.root() / cache.BUILDS).iterdir())
    assert {build_under_test.build.folder for build_under_test in builds_under_test} <= builds
    done = sdcpp.run("verify", "--revision", "2026-05", "--case", "gguf-F16")
    assert set((cache.root() / cache.BUILDS).iterdir()) == builds
    assert "cmake" not in done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("gguf-F16 ")]
    assert sum(row.count("PASS") for row in rows) == 6  # two sides in three modes
    assert (sdcpp.folder / "elsewhere" / "reports" / "verify" / "records.jsonl").is_file()
