from __future__ import annotations

from pathlib import Path

import pytest

from harness.cases.matrix import QUICK
from harness.verification.sides import RunSpec, revision_arguments
from sdcpp.source import revision

pytestmark = pytest.mark.usefixtures("cache_folder")


def test_the_command_that_asks_again_names_revision_or_folder_backend_and_build_options(
    tmp_path: Path,
) -> None:
    spec = RunSpec(
        matrix=QUICK, backend="cuda", command=("sdcpp", "verify", "--side", "patched"), options={"A": "b c"}
    )
    assert spec.rerun_command(*revision_arguments(revision.find("2026-05"))) == [
        *(
            "sdcpp",
            "verify",
            "--side",
            "patched",
            "--revision",
            "2026-05",
            "--backend",
            "cuda",
            "-D",
            "A=b c",
        ),
    ]
    folder = revision_arguments(revision.from_folder(tmp_path))
    assert folder == ("--checkout", str(tmp_path))
    assert RunSpec(matrix=QUICK).rerun_command(*folder) == ["nox", "-s", "verify", "--", *folder]
