from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.bundle import pack
from sdcpp.errors import SourceInvalid
from sdcpp.source import revision

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def test_a_folder_of_ones_own_cannot_be_packed(tmp_path: Path) -> None:
    (tmp_path / "CMakeLists.txt").write_text("project(stable-diffusion)", encoding="utf-8")
    (tmp_path / "stable-diffusion.h").touch()
    with pytest.raises(SourceInvalid, match="only revisions from the registry"):
        pack.pack(
            tmp_path / "x.pyz",
            [],
            [revision.from_folder(tmp_path)],
            python=HERE,
            platforms=(),
        )


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("numpy>=2.1", "numpy"),
        ("markdown_it_py-4.3.0-py3-none-any.whl", "markdown-it-py"),
        ("MarkupSafe-3.0.4-cp312-cp312-manylinux2014_x86_64.whl", "markupsafe"),
        ("scikit-build-core>=0.10", "scikit-build-core"),
    ],
)
def test_packages_are_known_by_one_name(text: str, name: str) -> None:
    assert pack._canonical(text) == name
